/* A Modbus TCP server on libmodbus, for tests: it serves any number of clients and is asked for its own truth in text.
 *
 * It prints `port N` once it listens. Then each line on standard input is answered by one line on standard output:
 *   put TABLE TYPE ORDER ADDRESS VALUE    sets registers (holding, input) or a bit (coil, discrete)
 *   get TABLE TYPE ORDER ADDRESS [LENGTH] prints what lies there, as this machine understands it
 *   writes                                prints how many write requests it has answered
 * It ends when standard input does. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 4000

static modbus_mapping_t *map;
static long writes;

/* 32 bits in the four orders by libmodbus' own functions, which know floats only, so the bits travel as one. Its setters
 * lay the bytes out as the host's memory has them (3.1.6 on a little-endian machine), so only the getters are used. */
static uint32_t get32(const char *order, const uint16_t *at) {
    float f;
    uint32_t bits;
    if (!strcmp(order, "ABCD")) f = modbus_get_float_abcd(at);
    else if (!strcmp(order, "BADC")) f = modbus_get_float_badc(at);
    else if (!strcmp(order, "CDAB")) f = modbus_get_float_cdab(at);
    else f = modbus_get_float_dcba(at);
    memcpy(&bits, &f, 4);
    return bits;
}

/* Place of the byte of significance `k` (0 = most) among the bytes on the wire, by the letters of the order. */
static int place(const char *order, int size, int k) {
    if (strlen(order) == 8) return (int)(strchr(order, 'A' + k) - order);
    int words = !strcmp(order, "CDAB") || !strcmp(order, "DCBA");
    int bytes = !strcmp(order, "BADC") || !strcmp(order, "DCBA");
    int word = words ? size / 2 - 1 - k / 2 : k / 2;
    return word * 2 + (bytes ? 1 - k % 2 : k % 2);
}

static void put_bytes(uint64_t bits, int size, const char *order, uint16_t *at) {
    uint8_t wire[8];
    for (int k = 0; k < size; k++) wire[place(order, size, k)] = (uint8_t)(bits >> 8 * (size - 1 - k));
    for (int n = 0; n < size / 2; n++) at[n] = (uint16_t)(wire[2 * n] << 8 | wire[2 * n + 1]);
}

static uint64_t get_bytes(int size, const char *order, const uint16_t *at) {
    uint64_t bits = 0;
    for (int k = 0; k < size; k++) {
        int p = place(order, size, k);
        bits = bits << 8 | (uint8_t)(p % 2 ? at[p / 2] : at[p / 2] >> 8);
    }
    return bits;
}

static uint16_t *registers(const char *table) {
    return !strcmp(table, "holding") ? map->tab_registers : map->tab_input_registers;
}

static void put(const char *table, const char *type, const char *order, int address, const char *value) {
    if (!strcmp(table, "coil")) { map->tab_bits[address] = (uint8_t)atoi(value); return; }
    if (!strcmp(table, "discrete")) { map->tab_input_bits[address] = (uint8_t)atoi(value); return; }
    uint16_t *at = registers(table) + address;
    if (!strcmp(type, "float32")) {
        float f = strtof(value, NULL);
        uint32_t bits;
        memcpy(&bits, &f, 4);
        put_bytes(bits, 4, order, at);
    } else if (!strcmp(type, "float64")) {
        double d = strtod(value, NULL);
        uint64_t bits;
        memcpy(&bits, &d, 8);
        put_bytes(bits, 8, order, at);
    } else if (!strcmp(type, "string")) {
        for (size_t n = 0; n <= strlen(value); n += 2)
            at[n / 2] = (uint16_t)(value[n] << 8 | (value[n] ? (uint8_t)value[n + 1] : 0));
    } else {
        uint64_t bits = *value == '-' ? (uint64_t)strtoll(value, NULL, 0) : strtoull(value, NULL, 0);
        if (strstr(type, "64")) put_bytes(bits, 8, order, at);
        else if (strstr(type, "32")) put_bytes(bits & 0xFFFFFFFF, 4, order, at);
        else put_bytes(bits & 0xFFFF, 2, order, at);
    }
}

static void get(const char *table, const char *type, const char *order, int address) {
    if (!strcmp(table, "coil")) { printf("%d\n", map->tab_bits[address]); return; }
    if (!strcmp(table, "discrete")) { printf("%d\n", map->tab_input_bits[address]); return; }
    const uint16_t *at = registers(table) + address;
    if (!strcmp(type, "float32")) {
        uint32_t bits = get32(order, at);
        float f;
        memcpy(&f, &bits, 4);
        printf("%.17g\n", f);
    } else if (!strcmp(type, "float64")) {
        uint64_t bits = get_bytes(8, order, at);
        double d;
        memcpy(&d, &bits, 8);
        printf("%.17g\n", d);
    } else if (!strcmp(type, "int64")) printf("%" PRId64 "\n", (int64_t)get_bytes(8, order, at));
    else if (!strcmp(type, "uint64")) printf("%" PRIu64 "\n", get_bytes(8, order, at));
    else if (!strcmp(type, "int32")) printf("%" PRId32 "\n", (int32_t)get32(order, at));
    else if (!strcmp(type, "uint32")) printf("%" PRIu32 "\n", get32(order, at));
    else if (!strcmp(type, "int16")) printf("%d\n", (int16_t)get_bytes(2, order, at));
    else printf("%u\n", (uint16_t)get_bytes(2, order, at));
}

static void obey(char *line) {
    char table[16], type[16], order[16], value[128];
    int address;
    if (sscanf(line, "put %15s %15s %15s %d %127[^\n]", table, type, order, &address, value) == 5) {
        put(table, type, order, address, value);
        puts("ok");
    } else if (sscanf(line, "get %15s %15s %15s %d", table, type, order, &address) == 4) {
        get(table, type, order, address);
    } else if (!strncmp(line, "writes", 6)) {
        printf("%ld\n", writes);
    } else {
        puts("what?");
    }
    fflush(stdout);
}

int main(void) {
    static char text[65536];
    size_t held = 0;
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
    map = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    int listener = modbus_tcp_listen(ctx, 8);
    if (listener < 0 || !map) {
        fprintf(stderr, "cannot listen: %s\n", modbus_strerror(errno));
        return 1;
    }
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    getsockname(listener, (struct sockaddr *)&name, &length);
    printf("port %d\n", ntohs(name.sin_port));
    fflush(stdout);

    fd_set all;
    FD_ZERO(&all);
    FD_SET(0, &all);
    FD_SET(listener, &all);
    int top = listener;
    for (;;) {
        fd_set ready = all;
        if (select(top + 1, &ready, NULL, NULL, NULL) < 0) return 1;
        for (int fd = 0; fd <= top; fd++) {
            if (!FD_ISSET(fd, &ready)) continue;
            if (fd == 0) {
                ssize_t got = read(0, text + held, sizeof text - held - 1);
                if (got <= 0) return 0;
                held += (size_t)got;
                text[held] = 0;
                char *end;
                while ((end = strchr(text, '\n'))) {
                    *end = 0;
                    obey(text);
                    held -= (size_t)(end + 1 - text);
                    memmove(text, end + 1, held + 1);
                }
            } else if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0) continue;
                FD_SET(client, &all);
                if (client > top) top = client;
            } else {
                modbus_set_socket(ctx, fd);
                int got = modbus_receive(ctx, query);
                if (got < 0) {
                    close(fd);
                    FD_CLR(fd, &all);
                } else if (got > 0) {
                    uint8_t function = query[modbus_get_header_length(ctx)];
                    writes += function == 5 || function == 6 || function == 15 || function == 16 || function == 22;
                    modbus_reply(ctx, query, got, map);
                }
            }
        }
    }
}
