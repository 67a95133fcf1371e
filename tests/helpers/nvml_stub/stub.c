/* A small libnvidia-ml.so.1: what the driver answers, from environment variables.
 *
 * NVML_STUB_FAIL        "nvmlDeviceGetPowerUsage=3,nvmlInitWithFlags=9": error codes by call
 * NVML_STUB_LOST_AFTER  calls after which every one answers GPU_IS_LOST (15)
 * NVML_STUB_DEVICES     devices (1)
 * NVML_STUB_POWER       W (350)
 * NVML_STUB_TICK        ms between two updates of the energy counter (20)
 * NVML_STUB_STILL_AFTER ms after which it stands still
 * NVML_STUB_CLOCKS      MHz, one after another over the calls: "1980,1200" (1980)
 * NVML_STUB_REASONS     bits (0)
 * NVML_STUB_PROCESSES   "self:1073741824,4242:-1": pid and bytes
 * NVML_STUB_WARMING     1: half a degree more at every call
 * NVML_STUB_MIG         1: split into instances
 *
 * -DOLD leaves out what drivers before 510 to 535 lack, -DNEW what later ones may drop.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, LOST = 15 };
enum { VERSION_MISMATCH = 25 };
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory_v1;
typedef struct { unsigned version; u64 total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned version; int sensor, value; } temperature_v1;
typedef struct { unsigned pid; u64 memory; unsigned gpu_instance, compute_instance; } process;

static const char *UUID = "GPU-11111111-2222-3333-4444-555555555555";
static const char *BUS = "0000:18:00.0";
static atomic_int calls, users;
static int device;

static int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value ? atoi(value) : otherwise;
}

static int outcome(const char *call) {
    const char *list = getenv("NVML_STUB_FAIL");
    size_t length = strlen(call);
    if (atomic_fetch_add(&calls, 1) >= setting("NVML_STUB_LOST_AFTER", 1 << 30)) return LOST;
    if (!users && strcmp(call, "nvmlInitWithFlags")) return UNINITIALIZED;
    for (; list && *list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
        if (!strncmp(list, call, length) && list[length] == '=') return atoi(list + length + 1);
    return SUCCESS;
}

static u64 milliseconds(void) {
    static u64 first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    u64 at = now.tv_sec * 1000ull + now.tv_nsec / 1000000;
    if (!first) first = at;
    return at - first;
}

static int text(char *to, unsigned length, const char *from) {
    if (strlen(from) >= length) return INSUFFICIENT_SIZE;
    strcpy(to, from);
    return SUCCESS;
}

#define ANSWER(name, ...)                              \
    {                                                  \
        int failure = outcome(#name);                  \
        if (failure) return failure;                   \
        __VA_ARGS__                                    \
        return SUCCESS;                                \
    }

int nvmlInitWithFlags(unsigned flags) ANSWER(nvmlInitWithFlags, (void)flags; users++; milliseconds();)
int nvmlShutdown(void) ANSWER(nvmlShutdown, users--;)
int nvmlSystemGetDriverVersion(char *to, unsigned length)
    ANSWER(nvmlSystemGetDriverVersion, return text(to, length, "580.65.06");)
int nvmlSystemGetNVMLVersion(char *to, unsigned length)
    ANSWER(nvmlSystemGetNVMLVersion, return text(to, length, "13.580.65.06");)
int nvmlSystemGetCudaDriverVersion_v2(int *to)
    ANSWER(nvmlSystemGetCudaDriverVersion_v2, *to = 13010;)
int nvmlDeviceGetCount_v2(unsigned *to)
    ANSWER(nvmlDeviceGetCount_v2, *to = setting("NVML_STUB_DEVICES", 1);)

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **to)
    ANSWER(nvmlDeviceGetHandleByIndex_v2,
        if (index >= (unsigned)setting("NVML_STUB_DEVICES", 1)) return INVALID_ARGUMENT;
        *to = &device;)
int nvmlDeviceGetHandleByUUID(const char *uuid, void **to)
    ANSWER(nvmlDeviceGetHandleByUUID, if (strcmp(uuid, UUID)) return NOT_FOUND; *to = &device;)
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **to)
    ANSWER(nvmlDeviceGetHandleByPciBusId_v2, if (strcmp(bus, BUS)) return NOT_FOUND; *to = &device;)

int nvmlDeviceGetName(void *of, char *to, unsigned length)
    ANSWER(nvmlDeviceGetName, if (of != &device) return INVALID_ARGUMENT;
        return text(to, length, "NVIDIA Stub 80GB");)
int nvmlDeviceGetUUID(void *of, char *to, unsigned length)
    ANSWER(nvmlDeviceGetUUID, (void)of; return text(to, length, UUID);)
int nvmlDeviceGetMigMode(void *of, unsigned *now, unsigned *pending)
    ANSWER(nvmlDeviceGetMigMode, (void)of; *now = *pending = setting("NVML_STUB_MIG", 0);)

/* Of 80 GiB the driver keeps 1 and processes use 10; the first version adds the two. */
int nvmlDeviceGetMemoryInfo(void *of, memory_v1 *to)
    ANSWER(nvmlDeviceGetMemoryInfo, (void)of;
        to->total = 80ull << 30; to->used = 11ull << 30; to->free = 69ull << 30;)
#ifndef OLD
int nvmlDeviceGetMemoryInfo_v2(void *of, memory_v2 *to)
    ANSWER(nvmlDeviceGetMemoryInfo_v2, (void)of;
        if (to->version != 0x02000028) return VERSION_MISMATCH;
        to->total = 80ull << 30; to->used = 10ull << 30;
        to->free = 69ull << 30; to->reserved = 1ull << 30;)
#endif

int nvmlDeviceGetPowerUsage(void *of, unsigned *to)
    ANSWER(nvmlDeviceGetPowerUsage, (void)of; *to = 1000 * setting("NVML_STUB_POWER", 350);)
int nvmlDeviceGetEnforcedPowerLimit(void *of, unsigned *to)
    ANSWER(nvmlDeviceGetEnforcedPowerLimit, (void)of; *to = 700000;)
int nvmlDeviceGetTotalEnergyConsumption(void *of, u64 *to)
    ANSWER(nvmlDeviceGetTotalEnergyConsumption, (void)of;
        u64 tick = setting("NVML_STUB_TICK", 20), at = milliseconds();
        u64 end = setting("NVML_STUB_STILL_AFTER", 1 << 30);
        at = (at < end ? at : end) / tick * tick;
        *to = 123456789 + at * setting("NVML_STUB_POWER", 350);)
int nvmlDeviceGetUtilizationRates(void *of, utilization *to)
    ANSWER(nvmlDeviceGetUtilizationRates, (void)of; to->gpu = 97; to->memory = 42;)

static int degrees(void) {
    static atomic_int asked;
    return 50 + setting("NVML_STUB_WARMING", 0) * atomic_fetch_add(&asked, 1) / 2;
}
#ifndef OLD
int nvmlDeviceGetTemperatureV(void *of, temperature_v1 *to)
    ANSWER(nvmlDeviceGetTemperatureV, (void)of;
        if (to->version != 0x100000C) return VERSION_MISMATCH; to->value = degrees();)
#endif
#ifndef NEW
int nvmlDeviceGetTemperature(void *of, int sensor, unsigned *to)
    ANSWER(nvmlDeviceGetTemperature, (void)of; (void)sensor; *to = degrees();)
#endif

int nvmlDeviceGetClockInfo(void *of, int domain, unsigned *to)
    ANSWER(nvmlDeviceGetClockInfo, (void)of;
        static atomic_int asked;
        const char *list = getenv("NVML_STUB_CLOCKS");
        *to = domain == 2 ? 2619 : 1980;
        if (list && domain == 1) {
            for (int skip = atomic_fetch_add(&asked, 1) % 2; skip && strchr(list, ','); skip--)
                list = strchr(list, ',') + 1;
            *to = atoi(list);
        })
int nvmlDeviceGetMaxClockInfo(void *of, int domain, unsigned *to)
    ANSWER(nvmlDeviceGetMaxClockInfo, (void)of; *to = domain == 2 ? 2619 : 1980;)
#ifndef OLD
int nvmlDeviceGetCurrentClocksEventReasons(void *of, u64 *to)
    ANSWER(nvmlDeviceGetCurrentClocksEventReasons, (void)of; *to = setting("NVML_STUB_REASONS", 0);)
#endif
#ifndef NEW
int nvmlDeviceGetCurrentClocksThrottleReasons(void *of, u64 *to)
    ANSWER(nvmlDeviceGetCurrentClocksThrottleReasons, (void)of;
        *to = setting("NVML_STUB_REASONS", 0);)
#endif

/* Asked twice: without room it tells the size, with room it answers. */
static int processes(unsigned *count, process *to) {
    unsigned room = *count, found = 0;
    const char *list = getenv("NVML_STUB_PROCESSES");
    for (; list && *list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL, found++)
        if (to && found < room) {
            to[found].pid = strncmp(list, "self", 4) ? atoi(list) : (int)getpid();
            to[found].memory = atoll(strchr(list, ':') + 1);
        }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}
#ifndef OLD
int nvmlDeviceGetComputeRunningProcesses_v3(void *of, unsigned *count, process *to)
    ANSWER(nvmlDeviceGetComputeRunningProcesses_v3, (void)of; return processes(count, to);)
#endif
#ifndef NEW
int nvmlDeviceGetComputeRunningProcesses_v2(void *of, unsigned *count, process *to)
    ANSWER(nvmlDeviceGetComputeRunningProcesses_v2, (void)of; return processes(count, to);)
#endif
