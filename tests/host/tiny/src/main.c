/* /health and /v1/chat/completions as llama-server answers them, with the faults that a gate must see:
   --mode crash: ends at once; loading: never healthy; slow: healthy at the third question; mute: completes nothing;
   --dies SECONDS: it ends by a signal that long after its start. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *greeting(void);
const char *build(void);

int main(int argc, char **argv) {
    int port = 8080, one = 1;
    const char *mode = "";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--version")) return printf("%s %s from %s\n", greeting(), build(), __FILE__) < 0;
        if (!strcmp(argv[i], "--port")) port = atoi(argv[++i]);
        if (!strcmp(argv[i], "--mode")) mode = argv[++i];
        if (!strcmp(argv[i], "--dies")) alarm(atoi(argv[++i]));
    }
    if (!strcmp(mode, "crash")) return fprintf(stderr, "cannot load the model\n") > 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(server, (void *)&address, sizeof address) || listen(server, 8)) return perror("bind"), 1;
    for (long loading = !strcmp(mode, "loading") ? 1L << 30 : !strcmp(mode, "slow") ? 2 : 0;; loading--) {
        char in[4096] = {0}, out[1024];
        const char *status = "200 OK", *body = "{\"status\":\"ok\"}";
        int client = accept(server, NULL, NULL);
        if (read(client, in, sizeof in - 1) > 0) {
            if (loading > 0) {
                status = "503 Service Unavailable", body = "{\"error\":{\"message\":\"Loading model\"}}";
            } else if (strstr(in, "POST") == in) {
                body = !strcmp(mode, "mute") ? "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"\"}}]}"
                                             : "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Hello.\"}}]}";
            }
            int size = snprintf(out, sizeof out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
                                strlen(body), body);
            if (write(client, out, size) < size) perror("write");
        }
        close(client);
    }
}
