package topline.flink;

import java.io.IOException;
import java.io.StringWriter;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonGenerator;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;

/** Change events in JSON: as Debezium writes them without schemas, or with them (`payload` behind `schema`). */
final class JsonEvents implements EventFormat {
    private static final JsonFactory JSON = new JsonFactory();
    private static final String SCHEMA = "schema";
    private static final String PAYLOAD = "payload";

    @Override
    public Event event(byte[] record) throws Problem {
        return read(record, JsonEvents::eventAt);
    }

    @Override
    public Map<String, String> fields(byte[] record) throws Problem {
        return read(record, JsonEvents::fieldsAt);
    }

    /** What stands where the parser is. */
    private interface Reading<T> {
        T at(JsonParser json) throws IOException, Problem;
    }

    private static <T> T read(byte[] record, Reading<T> reading) throws Problem {
        try (JsonParser json = JSON.createParser(record)) {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw new Problem("no JSON object");
            }
            T found = json.nextToken() == JsonToken.FIELD_NAME && json.currentName().equals(SCHEMA)
                    ? payload(json, reading)
                    : reading.at(json);
            if (json.nextToken() != null) {
                throw new Problem("not JSON: more follows its object");
            }
            return found;
        } catch (IOException broken) {
            throw new Problem("not JSON");
        }
    }

    /** At the name of the first field, `schema`. */
    private static <T> T payload(JsonParser json, Reading<T> reading) throws IOException, Problem {
        T found = null;
        for (; json.currentToken() == JsonToken.FIELD_NAME; json.nextToken()) {
            boolean wanted = json.currentName().equals(PAYLOAD);
            if (json.nextToken() == JsonToken.START_OBJECT && wanted) {
                json.nextToken();
                found = reading.at(json);
            } else {
                json.skipChildren();
            }
        }
        if (found == null) {
            throw new Problem("schema without a payload that is an object");
        }
        return found;
    }

    /** At the object's first name, or at its end; the parser comes to stand at its end. */
    private static Event eventAt(JsonParser json) throws IOException, Problem {
        String op = null;
        Map<String, String> row = null;
        for (; json.currentToken() == JsonToken.FIELD_NAME; json.nextToken()) {
            String name = json.currentName();
            JsonToken token = json.nextToken();
            if (name.equals(Event.OP) && token.isScalarValue()) {
                op = token == JsonToken.VALUE_NULL ? null : json.getText();
            } else if (name.equals(Event.AFTER) && token == JsonToken.START_OBJECT) {
                json.nextToken();
                row = fieldsAt(json);
            } else {
                json.skipChildren();
            }
        }
        return new Event(op, row);
    }

    private static Map<String, String> fieldsAt(JsonParser json) throws IOException, Problem {
        Map<String, String> fields = new HashMap<>();
        for (; json.currentToken() == JsonToken.FIELD_NAME; json.nextToken()) {
            String name = json.currentName();
            JsonToken token = json.nextToken();
            fields.put(name, token == JsonToken.VALUE_NULL ? null : Texts.require(name, textAt(json)));
        }
        return fields;
    }

    /** Numbers as they are written; arrays and objects as JSON. */
    private static String textAt(JsonParser json) throws IOException {
        if (json.currentToken().isScalarValue()) {
            return json.getText();
        }
        StringWriter text = new StringWriter();
        try (JsonGenerator copy = JSON.createGenerator(text)) {
            copy.copyCurrentStructure(json);
        }
        return text.toString();
    }
}
