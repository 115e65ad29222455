/*
 * The limit of receiving: recv() and a walk over the frames, nothing else. With -DCOPY each payload
 * is copied as well.
 *
 * usage: recv_walk HOST PORT CA_FILE|- CONNECTIONS VERIFY(0|1)
 *
 * Opens the connections, sends "go" on each, receives until all have been closed, and prints what
 * the Python clients print. VERIFY hashes every message as tally.py does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024 };

struct connection {
    int fd;
    SSL* ssl;
    unsigned char header[10]; /* of a frame that has not come in full */
    size_t header_length;
    uint64_t remaining; /* payload bytes to come of the current frame */
    int opcode;
    int ended;
    uint64_t count, bytes;
    EVP_MD_CTX* hash;
};

static int verify;
static unsigned char buffer[BUFFER];
#ifdef COPY
static unsigned char copied[BUFFER];
#endif

static void fail(const char* what) {
    perror(what);
    exit(1);
}

static size_t frame_header_length(const unsigned char* header) {
    unsigned length = header[1] & 0x7F;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

static uint64_t payload_length(const unsigned char* header) {
    unsigned length = header[1] & 0x7F;
    if (length < 126) return length;
    if (length == 126) return (uint64_t)header[2] << 8 | header[3];
    uint64_t value;
    memcpy(&value, header + 2, 8);
    return __builtin_bswap64(value);
}

static void begin_frame(struct connection* c, const unsigned char* header) {
    c->opcode = header[0] & 0x0F;
    c->remaining = payload_length(header);
    if (c->opcode > 2) return;
    if (!(header[0] & 0x80)) {
        fputs("fragments are not for this walk\n", stderr);
        exit(1);
    }
    c->count++;
    c->bytes += c->remaining;
    if (verify) {
        unsigned char head[9] = {c->opcode == 1 ? 'T' : 'B'};
        memcpy(head + 1, &c->remaining, 8); /* little endian, as every machine it runs on */
        EVP_DigestUpdate(c->hash, head, 9);
    }
}

static void take_payload(struct connection* c, const unsigned char* data, size_t length) {
#ifdef COPY
    memcpy(copied, data, length);
    __asm__ volatile("" ::"r"(copied) : "memory"); /* else it may be left out */
#endif
    if (verify && c->opcode <= 2) EVP_DigestUpdate(c->hash, data, length);
    c->remaining -= length;
}

static void feed(struct connection* c, const unsigned char* data, size_t length) {
    const unsigned char* end = data + length;
    while (data < end) {
        if (c->remaining) {
            size_t part = (size_t)(end - data);
            if (part > c->remaining) part = c->remaining;
            take_payload(c, data, part);
            data += part;
        } else if (c->header_length == 0 && (size_t)(end - data) >= 10) {
            begin_frame(c, data);
            data += frame_header_length(data);
        } else { /* a header that is cut, or may be */
            c->header[c->header_length++] = *data++;
            if (c->header_length >= 2 && c->header_length == frame_header_length(c->header)) {
                c->header_length = 0;
                begin_frame(c, c->header);
            }
        }
        if (c->opcode == 8 && c->remaining == 0 && c->header_length == 0) c->ended = 1;
    }
}

static ssize_t read_some(struct connection* c) {
    return c->ssl ? SSL_read(c->ssl, buffer, BUFFER) : recv(c->fd, buffer, BUFFER, 0);
}

static void write_all(struct connection* c, const void* data, size_t length) {
    ssize_t done =
        c->ssl ? SSL_write(c->ssl, data, (int)length) : send(c->fd, data, length, MSG_NOSIGNAL);
    if (done != (ssize_t)length) fail("write");
}

static void open_connection(struct connection* c, const char* host, int port, SSL_CTX* context) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr*)&address, sizeof address) != 0) fail("connect");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (context) {
        c->ssl = SSL_new(context);
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) != 1) fail("TLS");
    }
    char request[512];
    int length = snprintf(request, sizeof request,
                          "GET / HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n",
                          host, port);
    write_all(c, request, (size_t)length);
    size_t have = 0;
    while (!memmem(buffer, have, "\r\n\r\n", 4)) {
        ssize_t got = c->ssl ? SSL_read(c->ssl, buffer + have, (int)(BUFFER - have))
                             : recv(c->fd, buffer + have, BUFFER - have, 0);
        if (got <= 0) fail("handshake");
        have += (size_t)got;
    }
    if (!memmem(buffer, have, " 101 ", 5)) fail("no upgrade");
    c->hash = EVP_MD_CTX_new();
    EVP_DigestInit_ex(c->hash, EVP_sha256(), NULL);
}

static double seconds(struct timeval value) {
    return (double)value.tv_sec + (double)value.tv_usec / 1e6;
}

static double now(void) {
    struct timespec value;
    clock_gettime(CLOCK_MONOTONIC, &value);
    return (double)value.tv_sec + (double)value.tv_nsec / 1e9;
}

static void receive_one(struct connection* c) {
    ssize_t got = read_some(c);
    if (got > 0)
        feed(c, buffer, (size_t)got);
    else
        c->ended = 1;
    if (c->ended) { /* the mask is zero, so the code goes as it is */
        const unsigned char reply[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8};
        write_all(c, reply, sizeof reply);
    }
}

static void receive_all(struct connection* connections, int number) {
    if (number == 1) {
        while (!connections->ended) receive_one(connections);
        return;
    }
    struct pollfd* polled = calloc((size_t)number, sizeof *polled);
    for (int i = 0; i < number; i++)
        polled[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    for (int left = number; left > 0;) {
        if (poll(polled, (nfds_t)number, -1) < 0 && errno != EINTR) fail("poll");
        for (int i = 0; i < number; i++) {
            if (!polled[i].revents) continue;
            do receive_one(&connections[i]);
            while (!connections[i].ended && connections[i].ssl &&
                   SSL_has_pending(connections[i].ssl));
            if (connections[i].ended) {
                polled[i].fd = -1;
                left--;
            }
        }
    }
    free(polled);
}

int main(int argc, char** argv) {
    if (argc != 6) {
        fputs("usage: recv_walk HOST PORT CA_FILE|- CONNECTIONS VERIFY\n", stderr);
        return 2;
    }
    int number = atoi(argv[4]);
    verify = atoi(argv[5]);
    SSL_CTX* context = NULL;
    if (strcmp(argv[3], "-") != 0) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        /* Else each record costs two calls of recv. */
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_load_verify_locations(context, argv[3], NULL);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
    struct connection* connections = calloc((size_t)number, sizeof *connections);
    for (int i = 0; i < number; i++)
        open_connection(&connections[i], argv[1], atoi(argv[2]), context);

    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double begun = now();
    const unsigned char go[] = {0x81, 0x82, 0, 0, 0, 0, 'g', 'o'};
    for (int i = 0; i < number; i++) write_all(&connections[i], go, sizeof go);
    receive_all(connections, number);
    double wall = now() - begun;
    getrusage(RUSAGE_SELF, &after);

    uint64_t count = 0, bytes = 0;
    char first[65] = "", digest[65];
    int same = 1;
    for (int i = 0; i < number; i++) {
        count += connections[i].count;
        bytes += connections[i].bytes;
        unsigned char raw[32];
        EVP_DigestFinal_ex(connections[i].hash, raw, NULL);
        for (int j = 0; j < 32; j++) sprintf(digest + 2 * j, "%02x", raw[j]);
        if (i == 0) memcpy(first, digest, sizeof first);
        same &= strcmp(first, digest) == 0;
    }
    printf(
        "{\"wall\": %.9f, \"user\": %.6f, \"system\": %.6f, \"count\": %llu, \"bytes\": %llu, "
        "\"hash\": \"%s\"}\n",
        wall, seconds(after.ru_utime) - seconds(before.ru_utime),
        seconds(after.ru_stime) - seconds(before.ru_stime), (unsigned long long)count,
        (unsigned long long)bytes, same ? first : "differs between connections");
    return 0;
}
