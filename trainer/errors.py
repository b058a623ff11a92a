"""What can go wrong with one run.

TrainerError
├── BatchError               the global batch does not divide into micro-batches and ranks
├── RunFolderError           a run folder that is missing, damaged, full or in use
├── DataChangedError         the data is not what the run was trained on
├── IllegalMoveError         a state change that the table of moves does not allow
├── ClusterError
│   ├── ClusterUnreachable   no Ray at that address within the deadline
│   ├── StoppedWhileStarting someone asked for the end of the run before its workers were there
│   ├── ClusterTooSmall      the resources of the workers cannot be placed
│   └── WorkerLost           a worker died while it was being started
├── EngineError              DeepSpeed refused its configuration, or a private attribute that we need is gone
├── DeviceError              the accelerator asked for is not there
├── NonFiniteLossError       the loss or the gradient is not a number
└── PeerLost                 a collective failed because another rank is gone
"""


class TrainerError(Exception):
    """Base of all errors of this package."""


class BatchError(TrainerError):
    """The global batch does not divide into micro-batches and ranks."""


class RunFolderError(TrainerError):
    """A run folder is missing, damaged, full, or in use by another process."""


class DataChangedError(TrainerError):
    """The data is not what the run was trained on."""


class IllegalMoveError(TrainerError):
    """A state change that the table of moves does not allow."""


class ClusterError(TrainerError):
    """The Ray cluster cannot do what the run needs."""


class ClusterUnreachable(ClusterError):  # noqa: N818 - named for the state of the cluster
    """No Ray answered at the configured address within the deadline."""


class StoppedWhileStarting(ClusterError):  # noqa: N818 - not an error of the cluster's
    """Someone asked for the end of the run before its workers were there."""


class ClusterTooSmall(ClusterError):  # noqa: N818
    """The workers' resources could not be placed within the deadline."""


class WorkerLost(ClusterError):  # noqa: N818
    """A worker died while it was being started, by nothing that it did itself."""


class EngineError(TrainerError):
    """DeepSpeed refused its configuration, or a private attribute that we need is gone."""


class DeviceError(TrainerError):
    """The accelerator asked for is not there."""


class NonFiniteLossError(TrainerError):
    """The loss or the gradient is not a number; the state from before is intact."""


class PeerLost(TrainerError):  # noqa: N818 - the usual name for it
    """A collective failed because another rank is gone; not this rank's fault."""
