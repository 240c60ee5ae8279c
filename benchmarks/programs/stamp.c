/* The child that every candidate starts.
 *
 *     stamp FIFO [FILE]
 *
 * Notes the monotonic clock as it enters main, and writes "NANOSECONDS PID TAG" as one line into
 * FIFO, where TAG is the first line of FILE.  Then it sleeps until a signal ends it; it ends with
 * its parent as well.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec now;
    char tag[64] = "", line[128];
    int file, length;

    clock_gettime(CLOCK_MONOTONIC, &now);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc < 2)
        return 2;
    if (argc > 2 && (file = open(argv[2], O_RDONLY)) >= 0) {
        if (read(file, tag, sizeof tag - 1) < 0)
            return 1;
        tag[strcspn(tag, "\n")] = '\0';
        close(file);
    }
    length = snprintf(line, sizeof line, "%lld %d %s\n",
                      now.tv_sec * 1000000000LL + now.tv_nsec, (int)getpid(), tag);
    file = open(argv[1], O_WRONLY);
    if (file < 0 || write(file, line, length) != length)
        return 1;
    close(file);
    for (;;)
        pause();
}
