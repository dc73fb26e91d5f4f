"""Checks of lab 06, features of a VGG under a linear SVM: one function an exercise."""

from labkit.check.vgg.choosing import choose_then_test
from labkit.check.vgg.counting import count_parameters
from labkit.check.vgg.epochs import epochs_of
from labkit.check.vgg.features import relu7
from labkit.check.vgg.passes import one_pass
from labkit.check.vgg.scaling import same_svm

__all__ = ["choose_then_test", "count_parameters", "epochs_of", "one_pass", "relu7", "same_svm"]
