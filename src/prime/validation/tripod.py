"""The reporting checklist of a validation: the software fills in what it knows, authors the rest.

Items are those of TRIPOD+AI (Collins et al., BMJ 2024), in our own words.
"""

from collections.abc import Mapping

import pandas as pd

from prime.render.tables import Table

BLANK = "[to be written by the authors]"

ITEMS: dict[str, str] = {
    "1": "title: says that a prediction model is evaluated, for whom and for what outcome",
    "2": "abstract",
    "3a": "background: setting, why the model is needed, existing models",
    "3b": "whom the model is for, and who will use it",
    "3c": "known inequalities between groups of patients",
    "4": "aim: development, evaluation or both",
    "5a": "source of the data",
    "5b": "dates of the data, end of follow-up",
    "6a": "setting: centres, places",
    "6b": "who was eligible",
    "6c": "treatments received, and how they were handled",
    "7": "preparation and checking of the data",
    "8a": "outcome and its time horizon",
    "8b": "who assessed the outcome",
    "8c": "whether the outcome was assessed blind to the predictors",
    "9a": "choice of predictors",
    "9b": "definition and measurement of predictors",
    "9c": "who assessed the predictors",
    "10": "sample size",
    "11": "missing data",
    "12a": "how the data were used",
    "12b": "handling of predictors",
    "12c": "type of model, how it was built and tuned",
    "12d": "heterogeneity between groups and places",
    "12e": "measures of performance",
    "12f": "updating of the model",
    "12g": "how predictions were computed",
    "13": "class imbalance",
    "14": "fairness",
    "15": "output of the model",
    "16": "differences between development and evaluation data",
    "17": "ethical approval",
    "18a": "funding",
    "18b": "conflicts of interest",
    "18c": "protocol",
    "18d": "registration",
    "18e": "availability of the data",
    "18f": "availability of the code",
    "19": "involvement of patients and the public",
    "20a": "flow of patients",
    "20b": "characteristics of patients",
    "20c": "comparison with the development data",
    "21": "patients and events in each analysis",
    "22": "the full model, so that it can be used",
    "23a": "performance with intervals",
    "23b": "performance in groups",
    "24": "results of updating",
    "25": "interpretation, fairness included",
    "26": "limitations",
    "27a": "handling of poor or missing input in use",
    "27b": "interaction and expertise needed in use",
    "27c": "next steps",
}


def tripod_table(known: Mapping[str, str]) -> Table:
    """Every item, with what is known of it. Raises KeyError for an item that there is not."""
    for item in known:
        ITEMS[item]
    frame = pd.DataFrame(
        {
            "item": list(ITEMS),
            "what": list(ITEMS.values()),
            "filled_in": [item in known for item in ITEMS],
            "text": [known.get(item, "") for item in ITEMS],
        }
    )
    display = pd.DataFrame(
        {"What to report": frame["what"], "Here": [known.get(item, BLANK) for item in ITEMS]}
    )
    display.index = pd.Index(list(ITEMS), name="Item")
    return Table(
        "tripod_ai",
        "Reporting checklist (TRIPOD+AI)",
        f"{len(known)} of {len(ITEMS)} items are filled in from the data and the model; the others are for "
        "the authors. Read what is filled in before you print it.",
        frame,
        display,
    )
