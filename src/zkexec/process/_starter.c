/* Start a process without a copy of zkexec's memory: what `spawn.py` does by a fork, by vfork.
 *
 * This module is optional.  `spawn.py` decides whether it is used, and finds the program.
 *
 * The rules of this file:
 * - Until exec the new process has the memory of zkexec.  It calls only what a signal handler may
 *   call, allocates nothing, never returns, and runs on a stack of its own.
 * - All that can fail for want of memory is done before.
 * - All signals are blocked around the start, and no handler of zkexec is left when the new process
 *   unblocks them: it would run in the memory of zkexec.
 */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
/* One build serves Python 3.11 and every later one. */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FIRST_PASSED = 3,        /* The first descriptor that a service manager passes on. */
    STACK_BYTES = 64 * 1024, /* Much more than is used, for the frames of the largest processors. */
    PID_BYTES = 24,          /* Enough for the digits of any pid, and the end of the text. */
    CANNOT_RUN = 125,
};

static const char null_device[] = "/dev/null";

/* What the new process needs, and how it reports an error. */
struct start {
    const char *path;
    char **argv;
    char **environment;
    char **pid_texts; /* Where in the environment the new process writes its pid. */
    char *cgroup;
    pid_t zkexec;
    sigset_t mask;
    sigset_t ignored;
    bool own_session;
    bool dies_with_parent;
    bool null_stdin;
    unsigned int closed;
    int output;         /* Becomes stdout and stderr; -1 if they stay as they are. */
    int own_stderr;     /* Becomes stderr alone, also -1 if there is none. */
    int error;          /* 0 if the program was executed. */
    const char *failed; /* What failed before exec, if anything did. */
};

/* ---- In the new process ---- */

static void fail(struct start *start, const char *what)
{
    start->error = errno;
    start->failed = what;
    _exit(CANNOT_RUN);
}

/* If this fails, the process runs outside the cgroup. */
static void enter_cgroup(const char *path)
{
    int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int file = folder < 0 ? -1 : openat(folder, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        while (write(file, "0", 1) < 0 && errno == EINTR)
            ;
        close(file);
    }
    if (folder >= 0)
        close(folder);
}

static void close_passed(unsigned int count)
{
    unsigned int last = FIRST_PASSED + count - 1;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, FIRST_PASSED, last, 0) == 0)
        return;
#endif
    for (unsigned int descriptor = FIRST_PASSED; descriptor <= last; descriptor++)
        close((int)descriptor);
}

static void take_stdin_away(struct start *start)
{
    int descriptor = open(null_device, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || dup2(descriptor, STDIN_FILENO) < 0)
        fail(start, null_device);
}

static void take_output(struct start *start)
{
    if (start->output >= 0 &&
        (dup2(start->output, STDOUT_FILENO) < 0 || dup2(start->output, STDERR_FILENO) < 0))
        fail(start, "stdout");
    if (start->own_stderr >= 0 && dup2(start->own_stderr, STDERR_FILENO) < 0)
        fail(start, "stderr");
}

static void write_pid(struct start *start)
{
    char digits[PID_BYTES];
    size_t first = sizeof digits - 1;
    digits[first] = '\0';
    for (pid_t rest = getpid(); rest > 0; rest /= 10)
        digits[--first] = (char)('0' + rest % 10);
    for (char **text = start->pid_texts; *text; text++)
        memcpy(*text, digits + first, sizeof digits - first);
}

static void swallow(int number)
{
    (void)number;
}

/* Before Linux 5.16 the core dump of a process ends all that have the same memory.  So the signals
 * that dump core have no effect until exec.  What is sent to a whole cgroup reaches zkexec as well,
 * which passes it on. */
static bool dumps_core(int number)
{
    return number == SIGQUIT || number == SIGABRT || number == SIGTRAP || number == SIGSYS ||
           number == SIGXCPU || number == SIGXFSZ;
}

static void set_signals(struct start *start)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action = {.sa_handler = dumps_core(number) ? swallow : SIG_DFL};
        if (sigismember(&start->ignored, number) == 1)
            action.sa_handler = SIG_IGN;
        sigaction(number, &action, NULL); /* fails for those that cannot be changed */
    }
    sigprocmask(SIG_SETMASK, &start->mask, NULL);
}

static int run_in_child(void *argument)
{
    struct start *start = argument;
    if (start->own_session)
        setsid();
    if (*start->cgroup)
        enter_cgroup(start->cgroup);
    if (start->dies_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != start->zkexec)
            _exit(CANNOT_RUN); /* zkexec ended before the prctl */
    }
    take_output(start); /* before it can be closed */
    if (start->closed)
        close_passed(start->closed);
    if (start->null_stdin)
        take_stdin_away(start);
    write_pid(start);
    set_signals(start);
    execve(start->path, start->argv, start->environment);
    fail(start, NULL);
    return CANNOT_RUN;
}

/* ---- In zkexec ---- */

/* Return the pid of the new process once it has executed the program, or -1 with an error. */
static pid_t start_and_wait(struct start *start)
{
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        start->error = errno;
        return -1;
    }
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    /* Not vfork(), whose new process would write over this function's part of the stack. */
    pid_t pid = clone(run_in_child, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, start);
    if (pid < 0) {
        start->error = errno;
    } else if (start->error) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        pid = -1;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_BYTES);
    return pid;
}

/* Return the texts of a list of bytes, which keeps them; free the result. */
static char **read_texts(PyObject *list)
{
    Py_ssize_t count = PyList_Size(list);
    char **texts = PyMem_Calloc((size_t)count + 1, sizeof *texts);
    if (!texts)
        return (char **)PyErr_NoMemory();
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *item = PyList_GetItem(list, index);
        if (PyByteArray_Check(item)) {
            texts[index] = PyByteArray_AsString(item);
        } else if (PyBytes_AsStringAndSize(item, &texts[index], NULL) < 0) {
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
}

/* Find the bytearrays `NAME=` of the environment, which have room for a pid; free the result. */
static char **find_pid_texts(PyObject *list, char **environment)
{
    Py_ssize_t count = PyList_Size(list);
    char **found = PyMem_Calloc((size_t)count + 1, sizeof *found);
    if (!found)
        return (char **)PyErr_NoMemory();
    char **next = found;
    for (Py_ssize_t index = 0; index < count; index++) {
        if (!PyByteArray_Check(PyList_GetItem(list, index)))
            continue;
        char *equals = strchr(environment[index], '=');
        char *end = environment[index] + PyByteArray_Size(PyList_GetItem(list, index));
        if (!equals || end - equals < 1 + PID_BYTES) {
            PyErr_SetString(PyExc_ValueError, "no room for a pid");
            PyMem_Free(found);
            return NULL;
        }
        *next++ = equals + 1;
    }
    return found;
}

static bool read_flag(PyObject *request, const char *name, bool *flag)
{
    PyObject *value = PyObject_GetAttrString(request, name);
    int is_true = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    *flag = is_true > 0;
    return is_true >= 0;
}

static bool read_signals(PyObject *request, const char *name, sigset_t *signals)
{
    PyObject *numbers = PyObject_GetAttrString(request, name);
    PyObject *iterator = numbers ? PyObject_GetIter(numbers) : NULL;
    PyObject *number;
    sigemptyset(signals);
    while (iterator && (number = PyIter_Next(iterator))) {
        sigaddset(signals, (int)PyLong_AsLong(number));
        Py_DECREF(number);
    }
    Py_XDECREF(iterator);
    Py_XDECREF(numbers);
    return !PyErr_Occurred();
}

static bool read_closed(PyObject *request, unsigned int *closed)
{
    PyObject *value = PyObject_GetAttrString(request, "closed");
    *closed = value ? (unsigned int)PyLong_AsUnsignedLong(value) : 0;
    Py_XDECREF(value);
    return !PyErr_Occurred();
}

static bool read_descriptor(PyObject *request, const char *name, int *descriptor)
{
    PyObject *value = PyObject_GetAttrString(request, name);
    *descriptor = value && value != Py_None ? (int)PyLong_AsLong(value) : -1;
    Py_XDECREF(value);
    return !PyErr_Occurred();
}

/* `cgroup` gets a new reference. */
static bool read_request(PyObject *request, struct start *start, PyObject **cgroup)
{
    PyObject *path = PyObject_GetAttrString(request, "cgroup");
    bool converted = path && PyUnicode_FSConverter(path, cgroup);
    Py_XDECREF(path);
    return converted && PyBytes_AsStringAndSize(*cgroup, &start->cgroup, NULL) == 0 &&
           read_flag(request, "own_session", &start->own_session) &&
           read_flag(request, "dies_with_parent", &start->dies_with_parent) &&
           read_flag(request, "null_stdin", &start->null_stdin) &&
           read_descriptor(request, "output", &start->output) &&
           read_descriptor(request, "stderr", &start->own_stderr) &&
           read_signals(request, "mask", &start->mask) &&
           read_signals(request, "ignored", &start->ignored) &&
           read_closed(request, &start->closed);
}

static PyObject *raise_error(const struct start *start)
{
    errno = start->error;
    return PyErr_SetFromErrnoWithFilename(PyExc_OSError, start->failed);
}

static PyObject *start_process(PyObject *module, PyObject *arguments)
{
    (void)module;
    struct start start = {.zkexec = getpid()};
    PyObject *argv, *environment, *request, *cgroup = NULL, *pid = NULL;
    if (!PyArg_ParseTuple(arguments, "yO!O!O:start", &start.path, &PyList_Type, &argv,
                          &PyList_Type, &environment, &request))
        return NULL;
    start.argv = read_texts(argv);
    start.environment = start.argv ? read_texts(environment) : NULL;
    start.pid_texts = start.environment ? find_pid_texts(environment, start.environment) : NULL;
    if (start.pid_texts && read_request(request, &start, &cgroup)) {
        pid_t started = start_and_wait(&start);
        pid = started < 0 ? raise_error(&start) : PyLong_FromLong(started);
    }
    Py_XDECREF(cgroup);
    PyMem_Free(start.pid_texts);
    PyMem_Free(start.environment);
    PyMem_Free(start.argv);
    return pid;
}

PyDoc_STRVAR(start_doc, "start(path, argv, environment, request, /)\n--\n\n"
                        "Execute a file in a new process and return its pid, or raise OSError.\n\n"
                        "The filename of the error is what failed before exec, if anything did.");

static PyMethodDef functions[] = {
    {"start", start_process, METH_VARARGS, start_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_starter",
    .m_doc = "Start a process without a copy of zkexec's memory.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__starter(void)
{
    return PyModuleDef_Init(&definition);
}
