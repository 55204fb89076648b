// SPDX-License-Identifier: Apache-2.0
package crema.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.functions;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.storage.StorageLevel;
import org.apache.spark.util.SerializableConfiguration;

/**
 * Trains, tests and extracts features of Caffe's nets on a Spark cluster.
 *
 * <pre>
 *   CremaOnSpark crema = new CremaOnSpark(spark, Options.parse("-conf", "lenet_solver.prototxt", "-model", "hdfs:///lenet.caffemodel", "-clusterSize", "2"));
 *   crema.train();
 *   Map&lt;String, Double&gt; scores = crema.test();
 * </pre>
 *
 * Rows come from the sources that the net's data layers name, or from DataFrames that are given instead.
 */
public final class CremaOnSpark {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final SparkSession spark;
  private final JavaSparkContext context;
  private final Options options;
  private final int size;
  private final Storage storage;
  private final Plan plan;
  private final Work work;

  /** Asks the engine, on this machine, for the plan of the job. Throws {@link CremaException} for whatever is wrong with it. */
  public CremaOnSpark(SparkSession spark, Options options) {
    this.spark = spark;
    this.context = JavaSparkContext.fromSparkContext(spark.sparkContext());
    this.options = options;
    this.size = options.count("clusterSize", context.getConf().getInt("spark.executor.instances", 1));
    Configuration hadoop = context.hadoopConfiguration();
    this.storage = new Storage(hadoop);
    try {
      Set<String> roots = new LinkedHashSet<>(options.list("data_root"));
      Planner planner = new Planner(options, storage, size);
      Plan plan = planner.plan(roots, List.of());
      List<String> copies = Copies.order(context, storage, plan);
      this.plan = copies.isEmpty() ? plan : planner.plan(roots, copies);  // now that there are data to see
      this.work = new Work(options, plan.solver(), List.of(), List.copyOf(roots), copies, new SerializableConfiguration(hadoop));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** One line for whoever watches the driver. */
  static void say(String text) {
    System.err.println("crema: " + text);
  }

  /** Trains on the rows that the net names, without validation of them; writes -model. */
  public void train() {
    train(rows(Plan.TRAIN), null);
  }

  /** Trains on these rows. */
  public void train(Dataset<Row> rows) {
    train(rows, null);
  }

  /** Trains, and scores the test net every {@code test_interval} iterations: a row for each time, of iteration and scores. */
  public Dataset<Row> trainWithValidation() {
    return train(rows(Plan.TRAIN), rows(Plan.TEST));
  }

  public Dataset<Row> trainWithValidation(Dataset<Row> rows, Dataset<Row> validation) {
    return train(rows, validation);
  }

  /** Ends the training of -model that runs now, in this program or another: with a snapshot, and the weights so far as the model. */
  public void stop() {
    Stop.of(storage, model()).wish();
  }

  /** Scores -model on all samples of the test net: each output's name and value. */
  public Map<String, Double> test() {
    return test(rows(Plan.TEST));
  }

  public Map<String, Double> test(Dataset<Row> rows) {
    Map<String, double[]> sums = new LinkedHashMap<>();
    for (String line : tests(rows))
      for (JsonNode output : read(line).path("outputs")) {
        double[] sum = sums.computeIfAbsent(output.path("name").asText(), n -> new double[2]);
        sum[0] += output.path("sum").asDouble();
        sum[1] += output.path("weight").asDouble();
      }
    if (sums.isEmpty()) throw new CremaException("there are no rows to test on");
    Map<String, Double> scores = new LinkedHashMap<>();
    sums.forEach((name, sum) -> scores.put(name, sum[0] / sum[1]));
    return scores;
  }

  /** SampleID and the blobs of -features, computed by -model for each sample of the test net. */
  public Dataset<Row> features() {
    return features(rows(Plan.TEST));
  }

  public Dataset<Row> features(Dataset<Row> rows) {
    checkBlobs();
    Table table = rows == null ? null : Table.of(rows, source(Plan.TEST, rows), false);
    return spark.createDataFrame(features(parts(table), table), featureSchema(options.blobs()));
  }

  /** Rows with what {@link CremaModel} adds to them. They are computed twice, once for the engine: nobody holds a partition in memory. */
  Dataset<Row> featuresBeside(Dataset<Row> rows, StructType schema) {
    Table table = Table.of(rows, source(Plan.TEST, rows), false, functions.struct("*").as("crema row")).fingerprinted();
    JavaRDD<Row> whole = parts(table);
    int carried = table.columns().size();
    return spark.createDataFrame(whole.zipPartitions(features(whole, table), (row, answer) -> new Beside(row, answer, carried)), schema);
  }

  /** Whether -features names blobs that there are. */
  void checkBlobs() {
    if (options.blobs().isEmpty()) throw new CremaException("-features is missing: the blobs to extract, of " + String.join(", ", plan.blobs()));
    for (String blob : options.blobs())
      if (!plan.blobs().contains(blob)) throw new CremaException("-features " + blob + ": the test net has no such blob, only " + String.join(", ", plan.blobs()));
  }

  static StructType featureSchema(List<String> blobs) {
    StructType schema = new StructType().add("SampleID", DataTypes.StringType, false);
    for (String blob : blobs) schema = schema.add(blob, DataTypes.createArrayType(DataTypes.FloatType, false), false);
    return schema;
  }

  /** What a training will take: ranks, steps, memory, disk. */
  public String outlook() {
    return new Outlook(this).text();
  }

  /** Whether the executors are fit for it: a line for each. */
  public static String doctor(SparkSession spark, Options options) {
    return Doctor.report(spark, options);
  }

  /** The options, a line for each. */
  public static String help() {
    return Options.help();
  }

  Storage storage() {
    return storage;
  }

  Plan plan() {
    return plan;
  }

  Work work() {
    return work;
  }

  Options options() {
    return options;
  }

  int size() {
    return size;
  }

  /** The hosts of the executors that the application has now. */
  List<String> hosts() {
    List<String> hosts = new ArrayList<>();
    for (var all = spark.sparkContext().statusStore().executorList(true).iterator(); all.hasNext(); ) {
      var executor = all.next();
      if (!executor.id().equals("driver") || spark.sparkContext().isLocal()) hosts.add(executor.hostPort().replaceFirst(":\\d+$", ""));
    }
    return hosts;
  }

  int slots() {
    return Gang.slots(spark.sparkContext());
  }

  boolean onYarn() {
    return spark.sparkContext().master().startsWith("yarn");
  }

  String slotCores() {
    return context.getConf().get("spark.task.cpus", "1");
  }

  private static JsonNode read(String json) {
    try {
      return JSON.readTree(json);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The rows of the sources of a phase; null where the engine reads files. */
  Dataset<Row> rows(String phase) {
    Plan.Source source = plan.streamed(phase);
    return source == null ? null : Sources.load(spark, source);
  }

  private Plan.Source source(String phase, Dataset<Row> rows) {
    Plan.Source source = plan.streamed(phase);
    if (source == null) throw new CremaException("the " + phase + " net has no MemoryData or CoSData layer that could take rows: its data layer reads files");
    return source;
  }

  private Dataset<Row> train(Dataset<Row> rows, Dataset<Row> validation) {
    Path model = model();
    Stop stop = Stop.of(storage, model);
    List<Stream> streams = new ArrayList<>();
    List<JavaRDD<Row>> dealt = new ArrayList<>();
    List<Dataset<Row>> kept = new ArrayList<>();
    try {
      if (rows != null) deal(rows, source(Plan.TRAIN, rows), streams, dealt, kept);
      if (validation != null && plan.tests()) deal(validation, source(Plan.TEST, validation), streams, dealt, kept);
      storage.makeFolder(model.getParent());
      stop.forget();
      Resume resume = resume(model);
      if (resume != null) say("goes on from " + resume.state());
      Gang gang = new Gang(context, work.withWeights(resume == null ? weights() : List.of()), plan, size);
      JsonNode done = gang.train(streams, dealt, model, resume);
      say((done.path("ending").asText().equals("stopped") ? "stopped at iteration " : "trained to iteration ") + done.path("iteration").asLong() + ": " + model);
      stop.forget();
      return curve(gang.curve());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } finally {
      kept.forEach(Dataset::unpersist);
    }
  }

  private Path model() {
    return storage.place(options.required("model", "where the trained weights go, for example hdfs:///models/lenet.caffemodel"));
  }

  private void deal(Dataset<Row> rows, Plan.Source source, List<Stream> streams, List<JavaRDD<Row>> dealt, List<Dataset<Row>> kept) {
    Table table = Table.of(rows, source, true);
    if (options.flag("persistent") || table.shuffled()) {  // positions hold for one layout of the rows: it outlives an executor
      table = new Table(table.rows().persist(table.shuffled() ? StorageLevel.DISK_ONLY_2() : StorageLevel.DISK_ONLY()), table.columns());
      kept.add(table.rows());
    }
    Table.Numbered numbered = table.numbered();
    Deal deal = new Deal(source.block(), source.first(), size, options.devices());
    if (source.phase().equals(Plan.TRAIN))
      for (int engine = source.first() / options.devices(); engine < size; ++engine)
        if (deal.rowsOf(engine, numbered.total()) == 0)
          throw new CremaException("layer '" + source.layer() + "' has " + numbered.total() + " rows, too few for -clusterSize " + size + ": each engine needs one at least");
    if (numbered.total() == 0) throw new CremaException("layer '" + source.layer() + "' (" + source.phase() + ") has no rows: look at its source or its DataFrame");
    streams.add(new Stream(source.phase(), numbered.columns(), deal, numbered.total()));
    dealt.add(numbered.rows().repartition(size, functions.expr(deal.key("`" + Table.POSITION + "`"))).toJavaRDD());
  }

  private List<String> weights() {
    return options.list("weights").stream().map(w -> present(w, "-weights").toString()).toList();
  }

  private Path present(String uri, String option) {
    Path place = storage.place(uri);
    try {
      if (!storage.exists(place)) throw new CremaException(option + " " + place + ": no such file");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return place;
  }

  /** Where to go on from. When YARN runs the driver a second time, from where the first one was. */
  private Resume resume(Path model) throws IOException {
    String snapshot = options.text("snapshot");
    boolean again = spark.sparkContext().applicationAttemptId().exists(id -> !id.equals("1")), auto = "auto".equals(snapshot);
    if (again || auto) {
      long since = auto ? 0 : Long.parseLong(System.getenv().getOrDefault("APP_SUBMIT_TIME_ENV", "0"));  // YARN's: what is older belongs to another job
      Resume newest = work.newest(model.getParent(), plan.snapshotPrefix(), s -> s.written() >= since);
      if (newest != null || auto) return newest;
    }
    if (snapshot == null) return null;
    Path state = present(snapshot, "-snapshot");
    if (!state.getName().endsWith(".solverstate")) throw new CremaException("-snapshot " + snapshot + ": a file that ends in .solverstate is wanted");
    Path weights = present(options.text("weights", Resume.beside(state).toString()), "the model of -snapshot");
    return new Resume(state.toString(), weights.toString());
  }

  private Dataset<Row> curve(LastLines.Lines lines) {
    Set<String> outputs = new LinkedHashSet<>(plan.testOutputs());  // none where the driver cannot build the net: its files are elsewhere
    Map<Long, Map<String, Double>> tests = new LinkedHashMap<>();
    for (String line : lines.values()) {
      JsonNode test = read(line);
      Map<String, Double> values = tests.computeIfAbsent(test.path("iteration").asLong(), i -> new LinkedHashMap<>());
      for (JsonNode output : test.path("outputs")) values.put(output.path("name").asText(), output.path("value").asDouble());
      outputs.addAll(values.keySet());
    }
    StructType schema = new StructType().add("iteration", DataTypes.LongType, false);
    for (String output : outputs) schema = schema.add(output, DataTypes.DoubleType);
    List<Row> rows = new ArrayList<>();
    tests.forEach((iteration, values) -> {
      List<Object> row = new ArrayList<>(List.of(iteration));
      for (String output : outputs) row.add(values.get(output));
      rows.add(RowFactory.create(row.toArray()));
    });
    return spark.createDataFrame(rows, schema);
  }

  private List<String> tests(Dataset<Row> rows) {
    Table table = rows == null ? null : Table.of(rows, source(Plan.TEST, rows), true);
    JavaRDD<Row> parts = parts(table);
    return parts.mapPartitionsWithIndex(scoring(parts, table)::test, false).collect();
  }

  /** The partitions that engines score, each one of them: of a table, or as many as there are parts of files. */
  private JavaRDD<Row> parts(Table table) {
    if (table == null) return context.parallelize(Collections.<Row>emptyList(), size);
    JavaRDD<Row> rows = table.rows().toJavaRDD();
    return rows.getNumPartitions() > size ? rows.coalesce(size) : rows;
  }

  private JavaRDD<Row> features(JavaRDD<Row> parts, Table table) {
    return parts.mapPartitionsWithIndex(scoring(parts, table)::features, false);
  }

  private Scoring scoring(JavaRDD<Row> parts, Table table) {
    String model = options.text("model", options.text("weights"));
    if (model == null) throw new CremaException("-model is missing: the .caffemodel to use");
    return new Scoring(work.withWeights(List.of(present(model, "-model").toString())), table == null ? null : table.columns(), parts.getNumPartitions());
  }

  /** spark-submit's entry. Ends with status 1 and one sentence when something is wrong. */
  public static void main(String[] arguments) {
    SparkSession spark = null;
    int status = 0;
    try {
      Options options = Options.parse(arguments);
      if (options.flag("help")) {
        System.out.print(help());
        return;
      }
      spark = SparkSession.builder().appName("crema").getOrCreate();
      new CommandLine(spark, options).run();
    } catch (Exception e) {  // Scala throws checked exceptions unannounced
      CremaException said = CremaException.in(e);
      say(said == null ? e.toString() : said.getMessage());
      if (said == null) e.printStackTrace();
      status = 1;
    } finally {
      if (spark != null) spark.stop();
    }
    if (status != 0) System.exit(status);
  }
}
