<?php
// ?ms=N: sleeps and says when it began and ended, in nanoseconds.
header('Content-Type: text/plain');
$begin = hrtime(true);
usleep(1000 * (int) $_GET['ms']);
echo $begin, ' ', hrtime(true);
