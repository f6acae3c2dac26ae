async def handle(payload: str) -> None:
    """Do what it asks for."""
