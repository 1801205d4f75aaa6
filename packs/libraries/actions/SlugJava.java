// Makes a slug with a jar. Parameters: one KEY='VALUE' each on standard input (the format dotenv).

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import slug.Slug;

public class SlugJava {
    private static final Pattern TITLE = Pattern.compile("^title='((?:[^']|'\\\\'')*)'$", Pattern.MULTILINE);

    public static void main(String[] arguments) throws IOException {
        Matcher found = TITLE.matcher(new String(System.in.readAllBytes(), StandardCharsets.UTF_8));
        String title = found.find() ? found.group(1).replace("'\\''", "'") : "";
        System.out.printf("{\"slug\": \"%s\", \"library\": \"%s\"}%n", Slug.of(title), Slug.version());
    }
}
