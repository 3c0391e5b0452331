<?php
// ?us=N: burns N microseconds of CPU, ?in=WHERE: in PHP, in a child, after the answer, at the end.
// Needs prepend/figures.php, and BURN (tests/support/burn.c) for children.
const STEP_US = 500;

function burn(int $microseconds): void
{
    $end = cpu_us(0) + $microseconds;
    while (cpu_us(0) < $end) {
        md5('burn');
    }
}

// Notes the worker's figures again and again, for one who is killed amid.
function burn_noting(int $microseconds): void
{
    $file = fopen(getenv('NOTES_FILE'), 'c');
    $end = cpu_us(0) + $microseconds;
    while (($own = cpu_us(0)) < $end) {
        fseek($file, 0);
        fwrite($file, sprintf("%d %20d %20d\n", getmypid(), $own, cpu_us(1)));
        burn(STEP_US);
    }
}

function burn_in_child(int $microseconds, int $depth = 0): string
{
    return getenv('BURN') . " $microseconds $depth";
}

function answer(): void
{
    echo 'done';
    fastcgi_finish_request();
}

function say_now(string $text): void
{
    echo $text, str_repeat(' ', 65536);
    while (ob_get_level() > 0) {
        ob_end_flush();
    }
    flush();
}

class Late
{
    public function __construct(private int $microseconds)
    {
    }

    public function __destruct()
    {
        burn($this->microseconds);
    }
}

$us = (int) ($_GET['us'] ?? 0);
header('Content-Type: text/plain');
switch ($_GET['in'] ?? 'php') {
    case 'php':
        burn($us);
        break;
    case 'exec':
        exec(burn_in_child($us));
        break;
    case 'shell_exec':
        shell_exec(burn_in_child($us));
        break;
    case 'proc_open':
        proc_close(proc_open([getenv('BURN'), (string) $us], [], $pipes));
        break;
    case 'grandchild':
        exec(burn_in_child($us, 1));
        break;
    case 'tail':
        answer();
        burn($us);
        break;
    case 'tail_exec':
        answer();
        exec(burn_in_child($us));
        break;
    case 'shutdown':
        register_shutdown_function('burn', $us);
        break;
    case 'destructor':
        $late = new Late($us);
        break;
    case 'memory':
        burn($us);
        $all = str_repeat('x', 1 << 30);
        break;
    case 'noting':
        say_now('begun');
        burn_noting($us);
        break;
    case 'late_output':
        say_now('begun');
        burn($us);
        say_now('more'); // where the client is gone, the script ends here
        burn($us);
        break;
    case 'detached':
        exec(burn_in_child($us) . ' >/dev/null 2>&1 &');
        break;
}
echo 'done';
