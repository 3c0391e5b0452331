<?php
// Ends its own worker as a crash would, before any output.
posix_kill(getmypid(), 9);
