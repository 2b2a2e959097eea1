package topline.flink;

import java.util.Map;

/** What is read of a change event; null: it has none. `row`: the fields of `after` as text, null where a field is. */
record Event(String op, Map<String, String> row) {
    static final String OP = "op";
    static final String AFTER = "after";
}
