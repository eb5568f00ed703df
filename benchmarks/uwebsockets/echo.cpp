// The echo of uWebSockets' examples/EchoServerThreaded.cpp, without compression and TLS.
//
// echo PORT WORKERS: prints its address when it can be connected to, and serves until it is killed.

#include <cstdio>
#include <cstdlib>
#include <future>
#include <string_view>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "App.h"

static void serve(int port, std::promise<bool> &listening) {
    struct PerSocketData {};

    uWS::App()
        .ws<PerSocketData>("/*", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 16 * 1024 * 1024,
            .idleTimeout = 60,
            .maxBackpressure = 100 * 1024 * 1024,
            .closeOnBackpressureLimit = false,
            .resetIdleTimeoutOnSend = false,
            .sendPingsAutomatically = true,
            .message = [](auto *ws, std::string_view message, uWS::OpCode opcode) { ws->send(message, opcode, false); },
        })
        .listen("127.0.0.1", port, [&listening](us_listen_socket_t *listener) {
            if (listener) {
                // Accepted sockets inherit it. (TCP_NODELAY is set by uSockets on each.)
                auto *socket = reinterpret_cast<us_socket_t *>(listener);
                int fd = static_cast<int>(reinterpret_cast<intptr_t>(us_socket_get_native_handle(0, socket)));
                setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
            }
            listening.set_value(listener != nullptr);
        })
        .run();
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    int port = std::atoi(argv[1]);
    size_t workers = static_cast<size_t>(std::atoi(argv[2]));
    std::vector<std::promise<bool>> listening(workers);
    std::vector<std::thread> threads;
    for (auto &promise : listening) {
        threads.emplace_back([port, &promise] { serve(port, promise); });
    }
    for (auto &promise : listening) {
        if (!promise.get_future().get()) {
            return 1;
        }
    }
    std::printf("127.0.0.1:%d\n", port);
    std::fflush(stdout);
    for (auto &thread : threads) {
        thread.join();
    }
}
