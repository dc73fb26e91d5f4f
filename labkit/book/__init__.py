"""Execute labs and bind what they gave into the HTML workbook. Nothing here is imported by a notebook."""
