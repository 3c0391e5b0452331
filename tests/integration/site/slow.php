<?php
// ?ms=N: sleeps, using no CPU, with output before and after.
header('Content-Type: text/plain');
echo "begin\n";
usleep(1000 * (int) $_GET['ms']);
echo "end\n";
