"""The form of uploaded files, as OpenAPI describes it: its parts are named by the model's sources."""

from typing import Any

_FILE = {"type": "string", "format": "binary"}
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["clinical"],
                    "properties": {
                        "clinical": {
                            **_FILE,
                            "description": "A table with patient_id, cancer_type and covariates.",
                        },
                        "months": {"type": "array", "items": {"type": "number"}},
                        "level": {"type": "number"},
                        "threshold": {"type": "number"},
                        "reasons": {"type": "integer"},
                    },
                    "additionalProperties": {
                        **_FILE,
                        "description": "A part named as a source: a table, h5 files, or reports.",
                    },
                }
            }
        },
    }
}
