"""What can go wrong with a recipe and its data.

RecipeError
├── CatalogueError
│   ├── UnreachableError       the URL cannot be read or written: address, credentials, network, deadline
│   ├── NoCatalogueError       nothing with an index under that URL
│   ├── IndexVersionError      an index of a format that this version does not read
│   ├── MissingShardError      the index names a shard that is not there
│   ├── DamagedShardError      a shard that is truncated or changed, or a bad row in it
│   ├── UnknownChoiceError     a locale or vendor that the catalogue does not have
│   └── NothingToTrainError    the chosen vendors and locales leave no sample
├── RecordCacheError           the local cache of decoded records: not writable, too small, or locked for too long
├── BuildError
│   ├── PackagesError          npm is missing, the registry does not answer, or a package is not as expected
│   └── RenderError            a picture that cannot be decoded
├── MissingPackageError        an optional package that the configuration asks for is not installed
├── CombinationError           a recipe, a model and data that do not fit together
└── TargetError                a `_target_` of the user
    ├── TargetMissingError     no such module, or nothing of that name in it
    ├── TargetRaisedError      importing, building or calling it raised
    └── TargetTypeError        what it gave is not what is needed
"""


class RecipeError(Exception):
    """Base of all errors of this package."""


class CatalogueError(RecipeError):
    """A catalogue cannot be read as asked."""


class UnreachableError(CatalogueError):
    """The URL cannot be read or written: address, credentials, network or deadline."""


class NoCatalogueError(CatalogueError):
    """There is no catalogue index under the URL."""


class IndexVersionError(CatalogueError):
    """The index has a format that this version does not read."""


class MissingShardError(CatalogueError):
    """The index names a shard that is not there."""


class DamagedShardError(CatalogueError):
    """A shard is truncated or changed, or holds a bad row."""


class UnknownChoiceError(CatalogueError):
    """The configuration names a locale or vendor that the catalogue does not have."""


class NothingToTrainError(CatalogueError):
    """The chosen vendors and locales leave no sample."""


class RecordCacheError(RecipeError):
    """The local cache of decoded records is not writable, too small, or locked for too long."""


class BuildError(RecipeError):
    """A catalogue cannot be built."""


class PackagesError(BuildError):
    """npm is missing, the registry does not answer, or a package is not as expected."""


class RenderError(BuildError):
    """A picture cannot be decoded."""


class MissingPackageError(RecipeError):
    """An optional package that the configuration asks for is not installed."""


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
