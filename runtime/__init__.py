"""What any long-lived process of this project needs; knows nothing of crawling."""
