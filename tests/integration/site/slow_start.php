<?php
// ?ms=N: output at once, then a pause without CPU, then the tenant's DBNAME.
header('Content-Type: text/plain');
echo str_repeat(' ', 8192), "begin\n";
ob_flush();
flush();
usleep(1000 * (int) $_GET['ms']);
echo 'end ', getenv('DBNAME'), "\n";
