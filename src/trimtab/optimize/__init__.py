"""Models made smaller and faster, with figures of what that changed."""
