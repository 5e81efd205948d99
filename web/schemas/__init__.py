"""What goes over the wire, as models: the requests, the answers, and OpenAPI from both."""
