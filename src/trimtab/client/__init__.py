"""Clients of a Trimtab server: the same calls in a blocking and in an asynchronous form.

>>> from trimtab.client import Client
>>> with Client("http://127.0.0.1:8400") as client:  # doctest: +SKIP
...     answer = client.predict("fraud", {"amount": 120.5, "country": "fr"}, key="user-1")
...     client.outcome("fraud", answer.prediction_id, 1)

Every refusal is raised as one of :mod:`trimtab.errors`, with the server's code, message, hint and path.
"""

from trimtab.client.asynchronous import AsyncClient
from trimtab.client.blocking import Client
from trimtab.client.retries import Retry
from trimtab.types import OutcomeReceipt, Prediction, RowRequest

__all__ = ["AsyncClient", "Client", "OutcomeReceipt", "Prediction", "Retry", "RowRequest"]
