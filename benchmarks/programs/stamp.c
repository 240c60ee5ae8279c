/* The command that every candidate starts.
 *
 *     stamp FIFO [FILE [once|reload]]
 *
 * Notes the monotonic clock as it enters main, and writes "NANOSECONDS PID TAG" as one line into
 * FIFO, where TAG is the first line of FILE, or of the variable NAME if FILE is "env:NAME".  Then
 * it sleeps until a signal ends it, or its parent ends; with "once" it ends at once.  With "reload"
 * it writes such a line again at each HUP, of the file as it is then.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static int read_tag(const char *name, char *tag, int size)
{
    int file;

    if (strncmp(name, "env:", 4) == 0) {
        const char *text = getenv(name + 4);
        snprintf(tag, size, "%.*s", size - 1, text ? text : "");
    } else if ((file = open(name, O_RDONLY)) >= 0) {
        if (read(file, tag, size - 1) < 0)
            return 0;
        close(file);
    }
    tag[strcspn(tag, "\n")] = '\0';
    return 1;
}

static int stamp(const char *fifo, const char *name)
{
    struct timespec now;
    char tag[64] = "", line[128];
    int file, length;

    clock_gettime(CLOCK_MONOTONIC, &now);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (name && !read_tag(name, tag, sizeof tag))
        return 0;
    length = snprintf(line, sizeof line, "%lld %d %s\n",
                      now.tv_sec * 1000000000LL + now.tv_nsec, (int)getpid(), tag);
    file = open(fifo, O_WRONLY);
    if (file < 0 || write(file, line, length) != length)
        return 0;
    close(file);
    return 1;
}

static int stamp_at_each_hup(const char *fifo, const char *name)
{
    sigset_t hup;
    int signal;

    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hup, NULL);
    while (stamp(fifo, name))
        sigwait(&hup, &signal);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (argc > 3 && strcmp(argv[3], "reload") == 0)
        return stamp_at_each_hup(argv[1], argv[2]);
    if (!stamp(argv[1], argc > 2 ? argv[2] : NULL))
        return 1;
    if (argc > 3)
        return 0;
    for (;;)
        pause();
}
