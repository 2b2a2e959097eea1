"""HTTP for sources that ask: settings, TLS, one exchange within limits, redirects. It serves `rest` and `soap` alike."""
