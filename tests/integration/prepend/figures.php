<?php
// Prepended to every script: notes the worker's own figures at the start of the request, as "pid
// name own children", microseconds since the worker began. What is between two starts is what the
// first request cost, start-up and tear-down with it. note_figures() does the same for other
// moments.
function cpu_us(int $whose): int
{
    $usage = getrusage($whose);
    return 1000000 * ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec'])
        + $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];
}

function note_figures(string $name): void
{
    file_put_contents(getenv('FIGURES_FILE'),
        getmypid() . " $name " . cpu_us(0) . ' ' . cpu_us(1) . "\n", FILE_APPEND);
}

note_figures(getenv('FIGURES_NAME'));
