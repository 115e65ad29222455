"""One module a client: each runs as a process of its own, a spec in, a JSON result out."""
