"""The references, and what the candidates start: small programs that import nothing of ours."""
