// SPDX-License-Identifier: Apache-2.0
import java.io.File;
import java.io.FileOutputStream;
import java.io.OutputStream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/**
 * HDFS with one datanode and YARN with one node manager, in this process and below FOLDER (which must be the working folder).
 * Writes FOLDER/conf for clients (HADOOP_CONF_DIR), prints one line "READY hdfs://... http://..." (the file system and
 * WebHDFS), and ends when standard input does: so nothing stays behind when a test dies.
 *
 *   java -cp mini.jar:lib/* Mini FOLDER
 */
public class Mini {
  public static void main(String[] arguments) throws Exception {
    File folder = new File(arguments[0]);
    YarnConfiguration conf = new YarnConfiguration();
    conf.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, new File(folder, "dfs").getPath());
    // YARN offers 6000 MB and 4 cores, one queue, and lets application masters take nearly all of it.
    conf.set("yarn.nodemanager.resource.memory-mb", "6000");
    conf.set("yarn.nodemanager.resource.cpu-vcores", "4");
    conf.set("yarn.scheduler.minimum-allocation-mb", "256");
    conf.set("yarn.scheduler.capacity.root.queues", "default");
    conf.set("yarn.scheduler.capacity.root.default.capacity", "100");
    conf.set("yarn.scheduler.capacity.root.default.maximum-capacity", "100");
    conf.set("yarn.scheduler.capacity.maximum-am-resource-percent", "0.9");
    // A full disk or much virtual memory on the tester's machine is no reason to stop.
    conf.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "100.0");
    conf.set("yarn.nodemanager.vmem-check-enabled", "false");

    MiniDFSCluster dfs = new MiniDFSCluster.Builder(conf).numDataNodes(1).build();
    dfs.waitActive();
    MiniYARNCluster yarn = new MiniYARNCluster("yarn", 1, 2, 1, 1);
    yarn.init(conf);
    yarn.start();
    Configuration clients = yarn.getConfig();
    for (int i = 0; clients.get(YarnConfiguration.RM_ADDRESS).endsWith(":0"); i++) {
      if (i == 300) throw new IllegalStateException("the resource manager has no address after 30 s");
      Thread.sleep(100);
    }
    if (!yarn.waitForNodeManagersToConnect(30_000)) throw new IllegalStateException("the node manager did not register in 30 s");

    clients.set("fs.defaultFS", dfs.getFileSystem().getUri().toString());
    // The mini cluster leaves a class here that clients do not have.
    clients.set("net.topology.node.switch.mapping.impl", "org.apache.hadoop.net.ScriptBasedMapping");
    File out = new File(folder, "conf");
    out.mkdirs();
    for (String name : new String[] {"core-site.xml", "hdfs-site.xml", "yarn-site.xml"}) {
      try (OutputStream file = new FileOutputStream(new File(out, name))) {
        clients.writeXml(file);
      }
    }
    System.out.println("READY " + dfs.getFileSystem().getUri() + " http://" + dfs.getNameNode().getHttpAddress().getHostName() + ":"
        + dfs.getNameNode().getHttpAddress().getPort());
    while (System.in.read() >= 0) {}
    // The containers, then this process. An orderly stop takes more than 30 s, for timers of log files among others.
    ProcessHandle.current().descendants().forEach(ProcessHandle::destroyForcibly);
    Runtime.getRuntime().halt(0);
  }
}
