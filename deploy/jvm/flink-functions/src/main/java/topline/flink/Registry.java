package topline.flink;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.Optional;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.util.FlinkRuntimeException;

/** The schema registry by Confluent's API. */
final class Registry {
    private static final Duration PATIENCE = Duration.ofMinutes(2);
    private static final Duration ASKED = Duration.ofSeconds(10);
    private static final long PAUSE_MS = 500;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient client = HttpClient.newBuilder().connectTimeout(ASKED).build();
    private final String url;
    private final String login;

    /** `username` empty: without login. */
    Registry(String url, String username, String password) {
        this.url = url.replaceAll("/+$", "");
        byte[] both = (username + ":" + password).getBytes(StandardCharsets.UTF_8);
        this.login = username.isEmpty() ? "" : "Basic " + Base64.getEncoder().encodeToString(both);
    }

    /** The schema's text; empty where there is none. FlinkRuntimeException where nothing answers for two minutes. */
    Optional<String> schema(int number) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            String problem;
            try {
                HttpResponse<String> answer = client.send(request(number), HttpResponse.BodyHandlers.ofString());
                if (answer.statusCode() == 200) {
                    return Optional.of(JSON.readTree(answer.body()).required("schema").asText());
                }
                if (answer.statusCode() == 404 && unknown(answer.body())) {
                    return Optional.empty();
                }
                problem = "it answers " + answer.statusCode();
            } catch (IOException | IllegalArgumentException silent) {
                problem = silent.toString();
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
                throw new FlinkRuntimeException("ended while the schema registry was asked", ended);
            }
            rest(deadline, number, problem);
        }
    }

    private HttpRequest request(int number) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + "/schemas/ids/" + number))
                .header("Accept", "application/vnd.schemaregistry.v1+json, application/json")
                .timeout(ASKED);
        return (login.isEmpty() ? request : request.header("Authorization", login)).build();
    }

    /** Whether a 404 is about the schema, not about the address. */
    private static boolean unknown(String answer) throws IOException {
        JsonNode code = JSON.readTree(answer).path("error_code");
        return code.asInt() == 40403;
    }

    private void rest(long deadline, int number, String problem) {
        if (System.nanoTime() > deadline) {
            throw new FlinkRuntimeException("the schema registry " + url + " does not give schema " + number + ": " + problem);
        }
        try {
            Thread.sleep(PAUSE_MS);
        } catch (InterruptedException ended) {
            Thread.currentThread().interrupt();
            throw new FlinkRuntimeException("ended while the schema registry was asked", ended);
        }
    }
}
