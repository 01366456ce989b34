"""Files written whole or not at all, and the cache of what earlier runs have computed."""
