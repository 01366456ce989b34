"""From a photo and an attribute to edited photos: the folder that connects all the steps."""
