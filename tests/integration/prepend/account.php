<?php
// Prepended to every script: notes the worker's absolute CPU time at the start of the request. The
// time between two starts is what the first request cost, start-up and tear-down with it.
(function () {
    $usage = getrusage();
    $microseconds = 1000000 * ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec'])
        + $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];
    file_put_contents(getenv('ACCOUNT_FILE'),
        getmypid() . ' ' . getenv('ACCOUNT_NAME') . " $microseconds\n", FILE_APPEND);
})();
