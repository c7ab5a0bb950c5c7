/* A clock for cron's daemon that costs no time: sleeping moves it on at once.
 *
 * Preloaded into the real daemon by real.py. What cron would log about a start is written, with the
 * clock's time, to the file named in CLOCK_LOG; the command itself is not run. Sessions are not
 * opened: PAM would take most of the time and decides nothing about when a job starts.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static time_t now, end;
static pid_t daemon_pid;
static int log_file = -1;

__attribute__((constructor)) static void start_clock(void) {
    const char *start = getenv("CLOCK_START");
    if (start == NULL)
        return;
    now = atol(start);
    end = atol(getenv("CLOCK_END"));
    daemon_pid = getpid();
    log_file = open(getenv("CLOCK_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
}

time_t time(time_t *result) {
    if (result != NULL)
        *result = now;
    return now;
}

unsigned sleep(unsigned seconds) {
    now += seconds;
    if (now >= end && getpid() == daemon_pid)
        _exit(0);
    return 0;
}

void __syslog_chk(int priority, int flag, const char *format, ...) {
    char message[2048], line[2100];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    int length = snprintf(line, sizeof line, "%ld %s\n", (long)now, message);
    if (write(log_file, line, length) != length)
        _exit(1);
}

int execle(const char *path, const char *argument, ...) { _exit(0); }

int is_selinux_enabled(void) { return 0; }
int pam_start(const char *s, const char *u, const void *c, void **h) { return *h = &now, 0; }
int pam_set_item(void *h, int type, const void *item) { return 0; }
int pam_acct_mgmt(void *h, int flags) { return 0; }
int pam_setcred(void *h, int flags) { return 0; }
int pam_open_session(void *h, int flags) { return 0; }
int pam_close_session(void *h, int flags) { return 0; }
int pam_end(void *h, int status) { return 0; }
char **pam_getenvlist(void *h) { return calloc(1, sizeof(char *)); }
