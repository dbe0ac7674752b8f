"""Learning which blocks of a page are its main text, from pages whose main text is known."""
