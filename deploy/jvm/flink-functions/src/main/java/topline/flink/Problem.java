package topline.flink;

/** Why a record cannot be read. */
final class Problem extends Exception {
    private static final long serialVersionUID = 1L;

    Problem(String why) {
        super(why, null, false, false);
    }
}
