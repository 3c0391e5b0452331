<?php
/*
 * Moodle for many organisations on one read-only copy of the code: this file goes into Moodle's root.
 * Each organisation's settings come from the environment, for requests as for the command line
 * (cron, upgrades):
 *
 *   DBHOST    host, host:port or localhost:/path/to/socket
 *   DBNAME DBUSER DBPASS
 *   WWWROOT   where it is seen, without a slash at the end: https://moodle.example.org
 *   DATAROOT  directory of its own that PHP may write: files, sessions, caches
 *   DBTYPE    "mariadb" if not set, or "mysqli"
 *   DBPREFIX  of the tables; "mdl_" if not set
 *
 * In the organisation's file, every minute:
 *   "cron": {"every_seconds": 60, "command": ["php", "admin/cli/cron.php"]}
 */

unset($CFG);
global $CFG;
$CFG = new stdClass();

(function (stdClass $cfg): void {
    $setting = function (string $name, ?string $default = null): string {
        $value = getenv($name);
        if ($value !== false && $value !== '') {
            return $value;
        }
        if ($default !== null) {
            return $default;
        }
        $message = "config.php: $name is not set for this organisation\n";
        if (PHP_SAPI === 'cli') {
            fwrite(STDERR, $message);
        } else {
            error_log(rtrim($message));
            http_response_code(500);
            header('Content-Type: text/plain; charset=utf-8');
            echo $message;
        }
        exit(78);
    };

    [$host, $where] = explode(':', $setting('DBHOST'), 2) + [1 => ''];
    $cfg->dbtype = $setting('DBTYPE', 'mariadb');
    $cfg->dblibrary = 'native';
    $cfg->dbhost = $host;
    $cfg->dbname = $setting('DBNAME');
    $cfg->dbuser = $setting('DBUSER');
    $cfg->dbpass = $setting('DBPASS');
    $cfg->prefix = $setting('DBPREFIX', 'mdl_');
    // Not persistent: a worker that keeps a connection for each organisation would use them up.
    $cfg->dboptions = [
        'dbpersist' => false,
        'dbport' => ctype_digit($where) ? $where : '',
        'dbsocket' => str_starts_with($where, '/') ? $where : false,
        'dbcollation' => 'utf8mb4_unicode_ci',
    ];

    $cfg->wwwroot = rtrim($setting('WWWROOT'), '/');
    $cfg->dataroot = rtrim($setting('DATAROOT'), '/');
    $cfg->admin = 'admin';
    $cfg->directorypermissions = 02770;

    // The proxy hands on the host as the browser sent it, so this is no "reverseproxy" in Moodle's
    // sense; TLS, where there is any, ends before PHP. REMOTE_ADDR is already the browser's, and
    // headers that claim another (bits 1 and 2) are not believed.
    $cfg->reverseproxy = false;
    $cfg->sslproxy = str_starts_with($cfg->wwwroot, 'https://');
    $cfg->getremoteaddrconf = 3;

    // All that Moodle writes stays with the organisation: caches, temporary files and sessions are
    // below dataroot by default, but for the directory of a single request.
    $cfg->localrequestdir = $cfg->dataroot . '/temp/requestdir';
    // What is shared by all, if it is used: nobody's keys are another's.
    $whose = hash('sha256', $cfg->dbhost . $where . "\0" . $cfg->dbname . "\0" . $cfg->prefix);
    $cfg->session_redis_prefix = "mdl.$whose.";
    $cfg->session_memcached_prefix = "mdl.$whose.";

    // The code is the operator's. Programs that PHP starts would not know whose they are.
    $cfg->preventexecpath = true;
    $cfg->disableupdateautodeploy = true;
    $cfg->disableonclickaddoninstall = true;
    $cfg->cronclionly = true;
})($CFG);

// Since Moodle 5.1 what the web may see is in public/.
require_once is_file(__DIR__ . '/public/lib/setup.php') ? __DIR__ . '/public/lib/setup.php'
                                                        : __DIR__ . '/lib/setup.php';
