"""Our words as ArcGIS REST says them: states, messages, kinds of values.

Source: ArcGIS REST API, GP Job and GP Task (developers.arcgis.com/rest/services-reference).
"""

from __future__ import annotations

from typing import Final

from geodl_lab.jobs.job import Job, Level, State

VERSION: Final = 11.3
"""What we claim to be: from 10.8 on clients send ``processAllRasterItems``, from 11 on all the
parameters of exports, from 12 on some that we do not know."""

FULL_VERSION: Final = "11.3.0"
PORTAL_VERSION: Final = "2024.1"

STATUS = {
    State.PENDING: "esriJobSubmitted",
    State.RUNNING: "esriJobExecuting",
    State.SUCCEEDED: "esriJobSucceeded",
    State.FAILED: "esriJobFailed",
    State.CANCELLED: "esriJobCancelled",
}
CANCELLING: Final = "esriJobCancelling"
FAILED: Final = STATUS[State.FAILED]

MESSAGE = {
    Level.INFO: "esriJobMessageTypeInformative",
    Level.WARNING: "esriJobMessageTypeWarning",
    Level.ERROR: "esriJobMessageTypeError",
}

TEXT: Final = "GPString"
TRUTH: Final = "GPBoolean"
NUMBER: Final = "GPDouble"
FEATURES: Final = "GPFeatureRecordSetLayer"

INPUT: Final = "esriGPParameterDirectionInput"
OUTPUT: Final = "esriGPParameterDirectionOutput"
REQUIRED: Final = "esriGPParameterTypeRequired"
OPTIONAL: Final = "esriGPParameterTypeOptional"
DERIVED: Final = "esriGPParameterTypeDerived"

ASYNCHRONOUS: Final = "esriExecutionTypeAsynchronous"


def status(job: Job) -> str:
    """Return where a job stands, in their words."""
    return CANCELLING if job.cancelling and not job.state.final else STATUS[job.state]
