"""Pictures that come again: near-duplicates within an episode, openings and recaps across episodes."""
