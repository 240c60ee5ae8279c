"""The effects: each file here touches one thing of the outside world and decides nothing."""
