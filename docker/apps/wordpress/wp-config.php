<?php
/*
 * WordPress for many organisations on one read-only copy of the code: this file and uploads.php go
 * into WordPress's root. Each organisation's settings come from the environment, for requests as for
 * the command line (cron):
 *
 *   DBHOST    host, host:port or localhost:/path/to/socket
 *   DBNAME DBUSER DBPASS
 *   WWWROOT   where it is seen, without a slash at the end: https://www.example.org
 *   DATAROOT  directory of its own that PHP may write: uploads, temporary files
 *   DBPREFIX  of the tables; "wp_" if not set
 *   AUTHSALT  secret that cookies are signed with; derived from DBPASS if not set
 *
 * - WP_CONTENT_DIR stays in the shared code, as themes and plugins are everybody's. Uploads lie below
 *   DATAROOT, where no web server reaches them: uploads.php sends them. (The constant UPLOADS can't
 *   say that, it is relative to the code.)
 * - Nobody can install or update code; the operator does it, for all.
 * - WordPress's own cron is off. In the organisation's file:
 *     "cron": {"every_seconds": 300, "command": ["php", "wp-cron.php"]}
 * - Pretty permalinks need FPMUX_FALLBACK=/index.php in the Apache's environment; else
 *   /index.php/%postname%/ works.
 */

function fpmux_setting(string $name, ?string $default = null): string
{
    $value = getenv($name);
    if ($value !== false && $value !== '') {
        return $value;
    }
    if ($default !== null) {
        return $default;
    }
    $message = "wp-config.php: $name is not set for this organisation\n";
    if (PHP_SAPI === 'cli') {
        fwrite(STDERR, $message);
    } else {
        error_log(rtrim($message));
        http_response_code(500);
        header('Content-Type: text/plain; charset=utf-8');
        echo $message;
    }
    exit(78);
}

define('DB_HOST', fpmux_setting('DBHOST'));
define('DB_NAME', fpmux_setting('DBNAME'));
define('DB_USER', fpmux_setting('DBUSER'));
define('DB_PASSWORD', fpmux_setting('DBPASS'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
$table_prefix = fpmux_setting('DBPREFIX', 'wp_');

define('WP_HOME', rtrim(fpmux_setting('WWWROOT'), '/'));
define('WP_SITEURL', WP_HOME);
define('FORCE_SSL_ADMIN', str_starts_with(WP_HOME, 'https://'));

// The command line has no request; some plugins ask for one.
if (PHP_SAPI === 'cli') {
    $_SERVER['HTTP_HOST'] ??= preg_replace('~^https?://([^/]*).*~', '$1', WP_HOME);
    $_SERVER['SERVER_NAME'] ??= preg_replace('~:\d+$~', '', $_SERVER['HTTP_HOST']);
    $_SERVER['REQUEST_METHOD'] ??= 'GET';
    $_SERVER['REQUEST_URI'] ??= '/';
    if (FORCE_SSL_ADMIN) {
        $_SERVER['HTTPS'] ??= 'on';
    }
}

// A cookie of one organisation is worth nothing at another, and no key in a shared cache is theirs
// both.
(function () {
    $secret = fpmux_setting('AUTHSALT', DB_PASSWORD);
    $whose = DB_HOST . "\0" . DB_NAME . "\0" . $GLOBALS['table_prefix'];
    foreach (['AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE'] as $scheme) {
        define($scheme . '_KEY', hash_hmac('sha256', $scheme . "_KEY\0" . $whose, $secret));
        define($scheme . '_SALT', hash_hmac('sha256', $scheme . "_SALT\0" . $whose, $secret));
    }
    define('WP_CACHE_KEY_SALT', hash('sha256', $whose) . ':');
})();

define('DISALLOW_FILE_MODS', true);
define('DISALLOW_FILE_EDIT', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('DISABLE_WP_CRON', true);
define('WP_DEBUG', false);

define('WP_TEMP_DIR', fpmux_setting('DATAROOT') . '/tmp');
if (!is_dir(WP_TEMP_DIR)) {
    @mkdir(WP_TEMP_DIR, 0770, true);
}

// Options that WordPress would look for in the database; hooks may be set before it has started.
foreach (['upload_path' => fpmux_setting('DATAROOT') . '/uploads',
          'upload_url_path' => WP_HOME . '/uploads.php'] as $option => $value) {
    $GLOBALS['wp_filter']["pre_option_$option"][10][] =
        ['function' => fn () => $value, 'accepted_args' => 0];
}

defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
