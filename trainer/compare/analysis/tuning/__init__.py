"""What tuning trials say, and how sure results over searches are."""
