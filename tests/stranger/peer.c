/* A Modbus TCP server on libmodbus, for tests: it serves any number of clients and is asked for its own truth in text.
 *
 *   peer [PORT [UNITS [TTY BAUD]]]    port 0 (the default) is any free one; with UNITS each of the units 1 to UNITS has
 *                          registers of its own and any other is refused; without (or 0), all units show the same ones;
 *                          with TTY it also serves that serial port as unit 1, 8N1
 *
 * It prints `port N` once it listens. Then each line on standard input is answered by one line on standard output:
 *   put TABLE TYPE ORDER ADDRESS VALUE    sets registers (holding, input) or a bit (coil, discrete) of unit 1
 *   get TABLE TYPE ORDER ADDRESS          prints what lies there in unit 1, as this machine understands it
 *   writes                                prints how many write requests it has answered
 *   name NAME UNIT TABLE TYPE ORDER ADDRESS FACTOR OFFSET    a place that holds raw * FACTOR + OFFSET
 *   show NAME                             prints the value of a place
 *   set NAME VALUE, raw NAME VALUE        sets it by value, or by what lies in the register
 * and by rules between places it is a plant (all in W; a rule holds after every write and every line):
 *   cap POWER WANT LIMIT                  power = want, at most the limit
 *   gate POWER WANT CONNECT               power = want while connected
 *   shed POWER WANT REQUEST GRANTED EXPIRY  power = want - granted; granted = request, once an expiry is there
 *   follow POWER SIGN SETPOINT            power = sign * setpoint
 *   curb POWER WANT LIMIT                 power = - want (production), at most the limit
 *   meter POWER                           power = what all powers above add up to
 *   level SHARE                           all wants are taken times this; the meter stands still while it says `frozen`
 *   frozen 0|1
 * It ends when standard input does. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE 4000

#define UNITS 256
#define PLACES 600
#define RULES 300

static modbus_mapping_t *map, *maps[UNITS];
static int units;
static long writes;

struct place { char name[48], table[16], type[16], order[16]; int unit, address; double factor, offset; };
static struct place places[PLACES];
static int place_count;

enum kind { CAP, GATE, SHED, FOLLOW, CURB, METER };
struct rule { enum kind kind; double want; struct place *power, *by, *granted, *expiry; };
static struct rule rules[RULES];
static int rule_count, frozen;
static double level = 1;

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

static void get(const char *table, const char *type, const char *order, int address, char *text, size_t room) {
    if (!strcmp(table, "coil")) { snprintf(text, room, "%d", map->tab_bits[address]); return; }
    if (!strcmp(table, "discrete")) { snprintf(text, room, "%d", map->tab_input_bits[address]); return; }
    const uint16_t *at = registers(table) + address;
    if (!strcmp(type, "float32")) {
        uint32_t bits = get32(order, at);
        float f;
        memcpy(&f, &bits, 4);
        snprintf(text, room, "%.17g", f);
    } else if (!strcmp(type, "float64")) {
        uint64_t bits = get_bytes(8, order, at);
        double d;
        memcpy(&d, &bits, 8);
        snprintf(text, room, "%.17g", d);
    } else if (!strcmp(type, "int64")) snprintf(text, room, "%" PRId64, (int64_t)get_bytes(8, order, at));
    else if (!strcmp(type, "uint64")) snprintf(text, room, "%" PRIu64, get_bytes(8, order, at));
    else if (!strcmp(type, "int32")) snprintf(text, room, "%" PRId32, (int32_t)get32(order, at));
    else if (!strcmp(type, "uint32")) snprintf(text, room, "%" PRIu32, get32(order, at));
    else if (!strcmp(type, "int16")) snprintf(text, room, "%d", (int16_t)get_bytes(2, order, at));
    else if (!strncmp(type, "bit", 3) && type[3] >= '0' && type[3] <= '9')
        snprintf(text, room, "%d", (int)(get_bytes(2, order, at) >> atoi(type + 3) & 1));
    else snprintf(text, room, "%u", (uint16_t)get_bytes(2, order, at));
}

static struct place *find(const char *name) {
    for (int n = 0; n < place_count; n++)
        if (!strcmp(places[n].name, name)) return &places[n];
    fprintf(stderr, "no place %s\n", name);
    exit(2);
}

static double value(const struct place *p) {
    char text[64];
    map = maps[p->unit];
    get(p->table, p->type, p->order, p->address, text, sizeof text);
    return strtod(text, NULL) * p->factor + p->offset;
}

static void set_raw(const struct place *p, const char *text) {
    map = maps[p->unit];
    if (!strncmp(p->type, "bit", 3) && p->type[3] >= '0' && p->type[3] <= '9') {
        uint16_t *at = registers(p->table) + p->address;
        uint16_t one = (uint16_t)(1 << atoi(p->type + 3)), word = (uint16_t)get_bytes(2, p->order, at);
        put_bytes(atoi(text) ? word | one : word & ~one, 2, p->order, at);
    } else put(p->table, p->type, p->order, p->address, text);
}

static void set(const struct place *p, double value) {
    char text[64];
    double raw = (value - p->offset) / p->factor;
    if (!strncmp(p->type, "float", 5)) snprintf(text, sizeof text, "%.17g", raw);
    else snprintf(text, sizeof text, "%.0f", round(raw));
    set_raw(p, text);
}

/* The plant after a change: every device does what its registers say, then the meter adds up. */
static void settle(void) {
    double sum = 0;
    for (int n = 0; n < rule_count; n++) {
        struct rule *r = &rules[n];
        double want = r->want * level, power = 0;
        switch (r->kind) {
        case CAP: power = fmin(want, value(r->by)); break;
        case GATE: power = value(r->by) == 1 ? want : 0; break;
        case SHED:
            set(r->granted, value(r->expiry) > 0 ? fmin(value(r->by), want) : 0);
            power = want - value(r->granted);
            break;
        case FOLLOW: power = r->want * value(r->by); break;
        case CURB: power = -fmin(want, value(r->by)); break;
        case METER: power = sum; break;
        }
        if (r->kind == METER && frozen) continue;
        sum += power;
        set(r->power, power);
    }
}

static int add_rule(char *line) {
    static const struct { const char *word; enum kind kind; int names; } known[] = {
        {"cap", CAP, 2}, {"gate", GATE, 2}, {"shed", SHED, 4}, {"follow", FOLLOW, 2}, {"curb", CURB, 2}, {"meter", METER, 1},
    };
    char word[16], power[48], by[48], granted[48], expiry[48];
    double want = 0;
    int got = sscanf(line, "%15s %47s %lf %47s %47s %47s", word, power, &want, by, granted, expiry);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        if (got < 2 || strcmp(word, known[k].word) || rule_count == RULES) continue;
        struct rule *r = &rules[rule_count++];
        *r = (struct rule){.kind = known[k].kind, .want = want, .power = find(power)};
        if (known[k].names > 1) r->by = find(by);
        if (known[k].names > 2) { r->granted = find(granted); r->expiry = find(expiry); }
        return 1;
    }
    return 0;
}

static void obey(char *line) {
    char table[16], type[16], order[16], value_text[128], name[48], text[64];
    int address;
    struct place p;
    map = maps[1];
    if (sscanf(line, "put %15s %15s %15s %d %127[^\n]", table, type, order, &address, value_text) == 5) {
        put(table, type, order, address, value_text);
        puts("ok");
    } else if (sscanf(line, "get %15s %15s %15s %d", table, type, order, &address) == 4) {
        get(table, type, order, address, text, sizeof text);
        puts(text);
    } else if (!strncmp(line, "writes", 6)) {
        printf("%ld\n", writes);
    } else if (place_count < PLACES && sscanf(line, "name %47s %d %15s %15s %15s %d %lf %lf", p.name, &p.unit, p.table,
                                              p.type, p.order, &p.address, &p.factor, &p.offset) == 8) {
        places[place_count++] = p;
        puts("ok");
    } else if (sscanf(line, "show %47s", name) == 1) {
        printf("%.17g\n", value(find(name)));
    } else if (sscanf(line, "raw %47s %127[^\n]", name, value_text) == 2) {
        set_raw(find(name), value_text);
        settle();
        puts("ok");
    } else if (sscanf(line, "set %47s %127[^\n]", name, value_text) == 2) {
        set(find(name), strtod(value_text, NULL));
        settle();
        puts("ok");
    } else if (sscanf(line, "level %lf", &level) == 1 || sscanf(line, "frozen %d", &frozen) == 1 || add_rule(line)) {
        settle();
        puts("ok");
    } else {
        puts("what?");
    }
    fflush(stdout);
}

int main(int count, char **arguments) {
    static char text[65536];
    size_t held = 0;
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", count > 1 ? atoi(arguments[1]) : 0);
    units = count > 2 ? atoi(arguments[2]) : 0;
    for (int unit = 0; unit < UNITS; unit++) {
        if (unit == 0 || (units && unit <= units)) maps[unit] = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
        else if (!units) maps[unit] = maps[0];
    }
    int listener = modbus_tcp_listen(ctx, 8);
    if (listener < 0 || !maps[units ? units : 1]) {
        fprintf(stderr, "cannot listen: %s\n", modbus_strerror(errno));
        return 1;
    }
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    getsockname(listener, (struct sockaddr *)&name, &length);
    modbus_t *line = NULL;
    if (count > 4) {
        line = modbus_new_rtu(arguments[3], atoi(arguments[4]), 'N', 8, 1);
        if (!line || modbus_set_slave(line, 1) || modbus_connect(line)) {
            fprintf(stderr, "cannot open %s: %s\n", arguments[3], modbus_strerror(errno));
            return 1;
        }
    }
    int serial = line ? modbus_get_socket(line) : -1;
    printf("port %d\n", ntohs(name.sin_port));
    fflush(stdout);

    fd_set all;
    FD_ZERO(&all);
    FD_SET(0, &all);
    FD_SET(listener, &all);
    if (line) FD_SET(serial, &all);
    int top = serial > listener ? serial : listener;
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
                modbus_t *from = fd == serial ? line : ctx;
                if (from == ctx) modbus_set_socket(ctx, fd);
                int got = modbus_receive(from, query);
                if (got < 0 && from == line) {
                    modbus_flush(line);
                } else if (got < 0) {
                    close(fd);
                    FD_CLR(fd, &all);
                } else if (got > 0) {
                    int header = modbus_get_header_length(from);
                    uint8_t function = query[header], unit = query[header - 1];
                    int is_write = function == 5 || function == 6 || function == 15 || function == 16 || function == 22;
                    writes += is_write;
                    if (!maps[unit]) {
                        modbus_reply_exception(from, query, MODBUS_EXCEPTION_GATEWAY_TARGET);
                        continue;
                    }
                    modbus_reply(from, query, got, maps[unit]);
                    if (is_write) settle();
                }
            }
        }
    }
}
