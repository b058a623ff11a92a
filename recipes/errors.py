"""What can go wrong with a recipe.

RecipeError
├── CombinationError           a recipe, a model and data that do not fit together
└── TargetError                a `_target_` of the user
    ├── TargetMissingError     no such module, or nothing of that name in it
    ├── TargetRaisedError      importing, building or calling it raised
    └── TargetTypeError        what it gave is not what is needed
"""


class RecipeError(Exception):
    """Base of all errors of this package."""


class CombinationError(RecipeError):
    """The recipe, model and data sections do not fit together."""


class TargetError(RecipeError):
    """A `_target_` of the user cannot be used."""


class TargetMissingError(TargetError):
    """There is no such module, or nothing of that name in it."""


class TargetRaisedError(TargetError):
    """Importing, building or calling the target raised."""


class TargetTypeError(TargetError):
    """The target gave something other than what is needed there."""
