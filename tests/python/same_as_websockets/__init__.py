"""The table of ``test_same_as_websockets``, and what runs it.

* ``frames``: WebSocket frames as bytes, right and wrong ones.
* ``scripted_server``: a server that does what a list of steps says.
* ``outcomes``: what happened, as a flat mapping that can be compared.
* ``clients``: runs a case; ``client``, ``sync_client``, ``aio_client``: its steps on one client.
* ``case``: a row of the table; ``cases_*``: the rows, by topic.
"""
