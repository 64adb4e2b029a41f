-- A key's age by the clock that nobody sets: where it and the wall clock disagree, nobody knows how old the key is.
ALTER TABLE operation ADD COLUMN key_boot_at INTEGER;   -- boot time at which the key was first used; NULL: before this was kept
